"""Is everything there that a backup needs? Each finding is a fact, and, where it is bad, what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from actions.door import Identity, action
from actions.saved import Saved, channels, sources, storages, test_source, test_storage
from adapters.database import ENGINES
from adapters.database.tools import Tool
from blocks.encryption_key import encryption_keys
from core.errors import DBackupError
from core.jobs import Address
from core.permissions import Permission
from core.settings import settings
from core.words import count
from services.records import database


@dataclass(frozen=True)
class Finding:
    """One line of an examination."""

    subject: str
    good: bool
    fact: str
    advice: str = ""


@action(Permission.SYSTEM_READ)
def examine(who: Identity) -> Iterator[Finding]:
    """Look at everything, one finding after the other, the quick ones first."""
    yield _finding("settings", lambda: f"home {settings().home}, scratch {settings().runs}")
    for name, value in settings().told().items():
        yield Finding(name, True, value)
    for engine in ENGINES.values():
        for tool in engine.tools():
            yield _tool(engine.label, tool)
    yield _finding("encryption key", lambda: f"key {encryption_keys().current.key_id}")
    yield _finding("catalog", lambda: database().describe())
    api = _finding("Prefect API", _api)
    yield api
    if api.good:
        yield from _saved(who)


def _tool(label: str, tool: Tool) -> Finding:
    """What is missing is no fault by itself: a saved source that needs it says so further down."""
    fact = tool.fact if tool.found else f"{tool.fact}, and only a {label} source needs it"
    return Finding(f"{label} tools", True, fact, tool.advice)


def _api() -> str:
    from blocks.api import prefect_api

    with prefect_api() as api:
        return f"{api.url}{' (embedded, ends when idle)' if api.embedded else ''}"


def _saved(who: Identity) -> Iterator[Finding]:
    for one in sources(who):
        yield _finding(f"source {one.name}", partial(_source, who, one))
    for one in storages(who):
        yield _finding(f"storage {one.name}", partial(_storage, who, one))
    for one in channels(who):  # opened, but nobody is written to
        yield Finding(f"notification {one.name}", not one.problem, one.problem or one.description)


def _source(who: Identity, one: Saved) -> str:
    server, databases = test_source(who, Address(one.name))
    return f"{one.description}: {server.engine} {server.version}, {count(len(databases), 'database')}, {server.tool}"


def _storage(who: Identity, one: Saved) -> str:
    free = test_storage(who, Address(one.name))
    return f"{one.description}: writable" + (f", {free / 1e9:,.1f} GB free" if free is not None else "")


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except DBackupError as error:
        return Finding(subject, False, error.message, error.hint)
