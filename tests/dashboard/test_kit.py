"""The Recovery Kit over HTTP: only for a person who types the right password, and written into the audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.testclient import TestClient

from actions import keys, sessions, users
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.permissions import Permission
from dashboard import kit
from db.audit import Wanted
from services import recovery
from services.accounts.users import NewUser
from services.records import audit

NAME, PASSWORD = "kit-keeper", "where the backups are not"


@pytest.fixture
def keeper(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Identity]]:
    """Who is at the browser: somebody with a session who may reveal keys."""
    users.create(LOCAL_ADMINISTRATOR, NewUser(NAME, SecretStr(PASSWORD)))
    who = [Identity(NAME, frozenset({Permission.VAULT_REVEAL}), origin="192.0.2.1", session_id="s")]
    monkeypatch.setattr(sessions, "identify", lambda token, address: who[0])
    yield who
    users.delete(LOCAL_ADMINISTRATOR, NAME)


@pytest.fixture
def browser_of(keeper: list[Identity]) -> TestClient:
    return TestClient(Starlette(routes=list(kit.ROUTES)))


@pytest.fixture(scope="module")
def profile(home: Path) -> str:
    """The id of the key of a profile."""
    return keys.create(LOCAL_ADMINISTRATOR, "kit-profile").key_ids[0]


def test_the_right_password_gives_the_keys_and_is_written_down(browser_of: TestClient, profile: str) -> None:
    answer = browser_of.post(kit.PATH, data={"profile": "kit-profile", "password": PASSWORD})
    assert answer.status_code == 200
    assert [key.key_id for key in recovery.keys_in(answer.content, "kit")] == [profile]
    (entry,) = audit().entries(Wanted(action="keys.revealed_kit"), limit=1)
    assert (entry.who, entry.target, entry.result) == (NAME, "kit-profile", "done")


@pytest.mark.parametrize("password", ["", "something else", PASSWORD + " "])
def test_a_wrong_password_gives_nothing(browser_of: TestClient, profile: str, password: str) -> None:
    answer = browser_of.post(kit.PATH, data={"profile": "kit-profile", "password": password})
    assert answer.status_code in (401, 429)
    assert "wrong" in answer.text or "wait" in answer.text
    assert "zip" not in answer.headers["content-type"]


@pytest.mark.parametrize(
    "who",
    [
        Identity(NAME, frozenset(Permission) - {Permission.VAULT_REVEAL}, session_id="s"),
        Identity(NAME, frozenset(Permission), token_id="a token"),
    ],
    ids=["without the permission", "a token"],
)
def test_the_password_alone_is_not_enough(
    browser_of: TestClient, keeper: list[Identity], profile: str, who: Identity
) -> None:
    keeper[:] = [who]
    answer = browser_of.post(kit.PATH, data={"profile": "", "password": PASSWORD})
    assert answer.status_code == 401
    assert "zip" not in answer.headers["content-type"]


def test_what_a_link_says_is_shown_as_text(browser_of: TestClient) -> None:
    shown = browser_of.get(kit.PATH, params={"profile": '"><script>alert(1)</script>'}).text
    assert "<script>" not in shown
