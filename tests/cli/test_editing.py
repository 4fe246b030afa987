"""``edit``: what is given changes, the rest stays, and a secret is neither seen nor sent to another server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.saved import load_source
from tests.cli.conftest import Dbackup

SECRET, OTHER = "first geheim", "second geheim"


@pytest.fixture
def saved(dbackup: Dbackup) -> Iterator[Dbackup]:
    """The command, in a home with a source that has a password."""
    url = "postgresql://ada@db.example/shop?sslmode=require"
    dbackup.succeeds("source", "add", "edited", url, "--password-stdin", typed=f"{SECRET}\n")
    yield dbackup
    dbackup("source", "remove", "edited")


def config() -> dict[str, object]:
    return load_source("edited").opened()


def test_only_what_is_given_changes_and_the_secret_stays(saved: Dbackup) -> None:
    before = config()
    assert saved.succeeds("source", "edit", "edited", "user=grace", "connect_timeout=3")["fields"] == [
        "user",
        "connect_timeout",
    ]
    assert config() == {**before, "user": "grace", "connect_timeout": 3}
    saved.succeeds("source", "edit", "edited", "sslmode=")
    assert config().get("sslmode", "prefer") == "prefer"


def test_without_a_change_it_shows_everything_but_secrets(saved: Dbackup) -> None:
    shown = saved.succeeds("source", "edit", "edited")
    assert shown["fields"]["host"] == "db.example"
    assert shown["secrets"] == ["password"]
    for told in (str(shown), saved("source", "edit", "edited").out):
        assert SECRET not in told
        assert "sslmode" in told


def test_another_address_does_not_get_the_old_secret(saved: Dbackup) -> None:
    before = config()
    refused = saved("source", "edit", "edited", "host=evil.example")
    assert refused.code == 1
    assert "give them again: Password" in refused.err
    assert config() == before
    saved.succeeds("source", "edit", "edited", "host=new.example", "--stdin", "password", typed=f"{OTHER}\n")
    assert (config()["host"], config()["password"]) == ("new.example", OTHER)


def test_a_secret_comes_from_a_pipe_a_variable_or_a_file_and_never_from_an_argument(
    saved: Dbackup, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{OTHER}\n")
    saved.succeeds("source", "edit", "edited", f"password=file:{tmp_path}/secret")
    assert config()["password"] == OTHER
    saved.succeeds("source", "edit", "edited", "password=env:NEW_SECRET", NEW_SECRET="3rd secret")
    assert config()["password"] == "3rd secret"
    saved.succeeds("source", "edit", "edited", "--ask", "password", DBACKUP_PASSWORD="4th secret")
    assert config()["password"] == "4th secret"
    refused = saved("source", "edit", "edited", f"password={SECRET}")
    assert refused.code == 2
    assert SECRET not in refused.err + refused.out
    assert "--stdin password" in refused.err
    assert "--stdin password" in saved("source", "edit", "edited", "--ask", "password").err
    saved.succeeds("source", "edit", "edited", "password=")
    assert "password" not in config()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("nothing=1",), "its fields are: host"),
        (("geheim-ohne-gleich",), "write FIELD=VALUE"),
        (("user=a", "user=b"), "given twice"),
        (("--stdin", "user"), "user=VALUE"),
        (("port=high",), "Port cannot be used"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(saved: Dbackup, changes: tuple[str, ...], said: str) -> None:
    before = config()
    refused = saved("source", "edit", "edited", *changes)
    assert refused.code in (1, 2)
    assert said in refused.err
    assert "geheim-ohne" not in refused.err
    assert config() == before


@pytest.mark.parametrize(
    ("group", "added", "change", "shown"),
    [
        ("storage", ("{tmp}/one",), "path={tmp}/two", "{tmp}/two"),
        (
            "notification",
            ("smtp://mail.example/?from=a@example.org&to=b@example.org",),
            "recipients=c@e.org",
            "c@",
        ),
        (
            "sso",
            ("https://id.example.org", "--client-id", "us", "--no-secret"),
            "issuer=https://new.e.org",
            "new.",
        ),
    ],
)
def test_storages_channels_and_providers_are_edited_likewise(
    dbackup: Dbackup, tmp_path: Path, group: str, added: tuple[str, ...], change: str, shown: str
) -> None:
    dbackup.succeeds(group, "add", "edited", *(one.format(tmp=tmp_path) for one in added))
    try:
        dbackup.succeeds(group, "edit", "edited", change.format(tmp=tmp_path))
        assert shown.format(tmp=tmp_path) in dbackup(group, "list").out
    finally:
        dbackup.succeeds(group, "remove", "edited")


def test_what_is_not_saved_cannot_be_edited(dbackup: Dbackup) -> None:
    assert dbackup("source", "edit", "nobody", "port=1").code == 1
