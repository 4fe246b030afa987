"""Every action asks for its permission before anything else happens, and leaves an entry in the audit.

The actions are found by looking, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import SecretStr

import actions
import services.records
from actions import account, door
from actions.door import LOCAL_ADMINISTRATOR, Identity, action
from core.errors import ConfigurationError, PermissionError
from core.jobs import Address, JobSpec
from core.permissions import Permission
from db.audit import Entry

UNGUARDED = {  # the door, the way in, a rule of others, and what only compares what it is given
    *("actions.door", "actions.sessions", "actions.vouching", "actions.differences"),
}
ANONYMOUS = {
    *("log_in", "log_out", "identify", "identify_token", "used", "needs_administrator", "accept_invitation"),
    *("offers", "begin_single_sign_on", "finish_single_sign_on", "provider_logout"),
}


def public(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def every_action() -> list[Callable[..., Any]]:
    modules = [import_module(f"actions.{module.name}") for module in pkgutil.iter_modules(actions.__path__)]
    functions = [one for module in modules if module.__name__ not in UNGUARDED for one in public(module).values()]
    assert len(functions) > 50
    return functions


class Book:
    """An audit in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    made = Book()
    monkeypatch.setattr(services.records, "audit", lambda: made)
    return made


def opens(function: Callable[..., Any], who: Identity) -> bool:
    """Whether the door lets somebody pass. Behind it there is an argument that no action takes."""
    try:
        function(who, no_action_takes_this=True)
    except PermissionError:
        return False
    except TypeError as error:
        assert "no_action_takes_this" in str(error)
        return True
    raise AssertionError("an action took an argument that is not its own")


def name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__.removeprefix('actions.')}.{function.__name__}"


@pytest.mark.parametrize("function", every_action(), ids=name_of)
def test_exactly_one_permission_opens_an_action(function: Callable[..., Any], book: Book) -> None:
    opening = [one for one in Permission if opens(function, Identity("somebody", frozenset({one})))]
    assert len(opening) == 1
    assert not opens(function, Identity("somebody", frozenset(Permission) - set(opening)))
    assert not opens(function, Identity("nobody"))
    refused = [entry for entry in book.entries if entry.result == "refused"]
    assert len(refused) == len(Permission) + 1
    assert {entry.action for entry in refused} == {name_of(function)}


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_opens_something(permission: Permission, book: Book) -> None:
    who = Identity("somebody", frozenset({permission}))
    assert [name_of(one) for one in every_action() if opens(one, who)]


@pytest.mark.parametrize(
    ("permission", "opened"),
    [
        (Permission.VAULT_REVEAL, {"keys.recovery_kit", "keys.revealed_kit"}),
        (
            Permission.BACKUPS_RESTORE,
            {"runs.restore", "restores.plan", "restores.start", "restores.follow", "unfinished.remove"},
        ),
        (Permission.BACKUPS_DOWNLOAD, {"downloads.download"}),
        (Permission.AUDIT_READ, {"audit.entries", "audit.count", "audit.every"}),
        (Permission.TOKENS_OWN, {"tokens.create", "tokens.own", "tokens.own_count", "tokens.revoke"}),
        (Permission.GROUPS_WRITE, {f"groups.{one}" for one in ("create", "change", "delete", "add", "remove")}),
        (Permission.ACCOUNT_OWN, {f"account.{one}" for one in public(account)}),
    ],
)
def test_the_dangerous_permissions_open_nothing_else(permission: Permission, opened: set[str], book: Book) -> None:
    who = Identity("somebody", frozenset({permission}))
    assert {name_of(one) for one in every_action() if opens(one, who)} == opened


def test_only_the_way_in_has_no_door() -> None:
    assert set(public(import_module("actions.sessions"))) == ANONYMOUS


def test_the_local_administrator_may_do_everything() -> None:
    assert LOCAL_ADMINISTRATOR.permissions == frozenset(Permission)
    assert LOCAL_ADMINISTRATOR.administrator


@pytest.mark.parametrize("function", [one for one in every_action() if "account." in name_of(one)], ids=name_of)
def test_a_token_is_no_person(function: Callable[..., Any], book: Book) -> None:
    who = Identity("ada", frozenset(Permission), user_id="1", token_id="2")
    wanted = list(inspect.signature(function).parameters)[1:]
    with pytest.raises(PermissionError, match="logged in"):
        function(who, *[SecretStr("something")] * len(wanted))


# --- what the audit says ---


@pytest.fixture
def acts() -> Iterator[dict[str, Any]]:
    def fails(who: Identity, source: Address, password: str = "") -> None:
        raise ConfigurationError("no such thing")

    def writes(who: Identity, spec: JobSpec) -> None: ...

    def reads(who: Identity, place: Path) -> None: ...

    def looks(who: Identity, place: Path) -> None: ...

    yield {
        "fails": action(Permission.SOURCES_WRITE)(fails),
        "writes": action(Permission.JOBS_WRITE, target=lambda spec: spec.name)(writes),
        "reads": action(Permission.SOURCES_READ)(reads),
        "looks": action(Permission.ACCOUNT_OWN, looks=True)(looks),
    }


SOMEBODY = Identity("ada", frozenset(Permission), origin="192.0.2.7", token_id="t1")


def test_what_is_done_is_written_down(acts: dict[str, Any], book: Book) -> None:
    acts["writes"](SOMEBODY, JobSpec(source=Address("shop"), destinations=(Address("nas"),), name="nightly"))
    (entry,) = book.entries
    assert (entry.who, entry.action, entry.target) == ("ada", "test_door.writes", "nightly")
    assert (entry.origin, entry.result, entry.reason) == ("192.0.2.7, token t1", "done", "")
    assert entry.moment.tzinfo


def test_what_fails_is_written_down_without_urls_and_other_arguments(acts: dict[str, Any], book: Book) -> None:
    with pytest.raises(ConfigurationError):
        acts["fails"](SOMEBODY, Address("postgresql://ada:hunter2@db/shop"), password="hunter2")
    (entry,) = book.entries
    assert (entry.target, entry.result, entry.reason) == ("postgresql address", "failed", "no such thing")
    assert "hunter2" not in repr(entry)


@pytest.mark.parametrize("act", ["reads", "looks"])
def test_looking_is_written_down_only_when_it_is_refused(act: str, acts: dict[str, Any], book: Book) -> None:
    acts[act](SOMEBODY, Path("/srv"))
    assert book.entries == []
    with pytest.raises(PermissionError):
        acts[act](Identity("eve"), Path("/srv"))
    assert [(one.who, one.target, one.result) for one in book.entries] == [("eve", "/srv", "refused")]


def test_an_audit_that_fails_keeps_nobody_from_a_restore(
    acts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ConfigurationError("the catalog is away")

    monkeypatch.setattr(services.records, "audit", broken)
    warned: list[str] = []
    monkeypatch.setattr(door, "log", _Log(warned))
    acts["writes"](SOMEBODY, JobSpec(source=Address("shop"), destinations=(Address("nas"),)))
    assert warned == ["the audit could not be written"]


class _Log:
    def __init__(self, warned: list[str]) -> None:
        self._warned = warned

    def bind(self, **_: object) -> _Log:
        return self

    def info(self, *_: object, **__: object) -> None: ...

    def warning(self, event: str, **_: object) -> None:
        self._warned.append(event)
