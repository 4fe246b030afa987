"""``dbackup user``, ``group``, ``token`` and ``audit``, as somebody sets a system up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from actions import sessions
from core.permissions import Permission
from services.accounts.sessions import Client
from tests.cli.conftest import Dbackup
from tests.home import files_of, forget_settings

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module", autouse=True)
def _own_catalog(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody else is known here: who is the last administrator must not hang on other modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBACKUP_DATABASE_URL", f"sqlite:///{tmp_path_factory.mktemp('people')}/catalog.db")
        forget_settings()
        yield
    forget_settings()


@pytest.fixture(scope="module")
def people(dbackup: Dbackup) -> Dbackup:
    """The command, in a home with an administrator and an operator of one source."""
    create = ("user", "create")
    assert dbackup(*create, "ada", "--group", "administrators", "--password-stdin", typed=f"{PASSWORD}\n").code == 0
    dbackup.succeeds("group", "create", "operators", "--permission", "backups:*", "--source", "shop-prod")
    made = dbackup.succeeds(*create, "hopper", "--group", "operators", "--password-stdin", typed=PASSWORD)
    assert made["groups"] == ["operators"]
    return dbackup


def test_who_is_made_here_can_log_in(people: Dbackup) -> None:
    opened = sessions.log_in("ada", SecretStr(PASSWORD), Client("192.0.2.7"))
    who = sessions.identify(opened.token, "192.0.2.7")
    assert (who.name, who.administrator, who.origin) == ("ada", True, "192.0.2.7")
    (shown,) = people.succeeds("user", "sessions", "ada")["sessions"]
    assert (shown["session_id"], shown["address"]) == (opened.session_id, "192.0.2.7")
    assert people.succeeds("user", "sessions", "ada", "--end-all") == {"sessions": []}


def test_what_a_group_permits_is_shown_and_changed_in_parts(people: Dbackup) -> None:
    backups = sorted(one for one in Permission if one.startswith("backups:"))
    shown = people.succeeds("group", "show", "OPERATORS")
    assert (shown["permissions"], shown["sources"], shown["members"]) == (backups, ["shop-prod"], ["hopper"])
    changed = people.succeeds("group", "set", "operators", "--permission", "backups:read")
    assert (changed["permissions"], changed["sources"]) == (["backups:read"], ["shop-prod"])
    assert people.succeeds("group", "set", "operators", "--all-sources")["sources"] is None


def test_members_come_and_go(people: Dbackup) -> None:
    people.succeeds("group", "remove", "operators", "hopper")
    assert people.succeeds("user", "show", "hopper")["groups"] == []
    people.succeeds("group", "add", "operators", "hopper")
    assert people.succeeds("user", "show", "hopper")["groups"] == ["operators"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("user", "disable", "ada"), 1, "without an administrator"),
        (("user", "delete", "ada", "--yes"), 1, "without an administrator"),
        (("group", "remove", "Administrators", "ada"), 1, "without an administrator"),
        (("group", "delete", "administrators", "--yes"), 1, "protected"),
        (("user", "show", "nobody"), 1, "no user nobody"),
        (("user", "invite"), 1, "an administrator already"),
        (("user", "delete", "hopper"), 2, "--yes"),
        (("user", "password", "hopper"), 2, "--password-stdin"),
        (("group", "create", "x", "--permission", "backups:reed"), 2, "backups:read"),
        (("group", "set", "operators", "--source", "x", "--all-sources"), 2, "or for all"),
        (("token", "create", "x", "--user", "hopper", "--permission", "vault:reveal"), 1, "its owner has not"),
        (("token", "revoke", "dbk_nothin"), 1, "no token"),
        (("audit", "--since", "yesterday"), 2, "7d"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(
    people: Dbackup, arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = people(*arguments)
    assert answer.code == code
    assert said in answer.err
    assert "→" in answer.err


def test_a_token_is_shown_once_and_lies_nowhere_in_clear(people: Dbackup, home: Path) -> None:
    made = people.succeeds("token", "create", "cron", "--user", "ada", "--permission", "jobs:execute", "--days", "7")
    assert sessions.identify_token(made["token"], "::1").permissions == {Permission.JOBS_EXECUTE}
    listed = people("token", "list", "--user", "ada")
    assert made["prefix"] in listed.out
    assert made["token"] not in listed.out
    assert not any(made["token"].encode() in content for content in files_of(home).values())
    assert not any(PASSWORD.encode() in content for content in files_of(home).values())
    people.succeeds("token", "revoke", made["token_id"])
    assert made["token_id"] not in people("token", "list", "--json").out


def test_a_password_is_changed_and_a_user_disabled(people: Dbackup) -> None:
    people.succeeds("user", "password", "hopper", "--password-stdin", typed="another long password\n")
    sessions.log_in("hopper", SecretStr("another long password"), Client("::1"))
    people.succeeds("user", "disable", "hopper")
    assert "disabled" in people("user", "list", "--search", "hopp").out
    people.succeeds("user", "enable", "hopper")
    people.succeeds("user", "reset-second-factor", "hopper")


def test_the_audit_tells_what_was_done_here(people: Dbackup) -> None:
    entries = people.succeeds("audit", "--action", "users.create", "--since", "1h")["entries"]
    assert [(one["who"], one["origin"], one["result"]) for one in entries if one["target"] == "hopper"] == [
        ("local administrator", "command line", "done")
    ]
    refused = people.succeeds("audit", "--limit", 1)
    assert (len(refused["entries"]), refused["more"]) == (1, True)
    assert people.succeeds("audit", "--user", "nobody") == {"entries": [], "more": False}
    assert PASSWORD not in json.dumps(people.succeeds("audit", "--limit", 1000))
