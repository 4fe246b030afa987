"""Integrity checks as a page knows them: begun in the queue, their reports, and what each copy's last check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actions.door import Identity, action, shown
from core.jobs import IntegritySpec
from core.permissions import Permission
from core.reports import IntegrityReport
from db.executions import Execution, WantedRuns
from db.inventory import Checked, Health
from services.records import executions, inventory

if TYPE_CHECKING:
    from deployments.requests import Requested
    from deployments.schedules import Timetable

KIND = "integrity"


@dataclass(frozen=True)
class Checks:
    """A page of copies with their last check, failures first, and how many there are on all pages."""

    rows: tuple[Checked, ...]
    total: int


@dataclass(frozen=True)
class Past:
    """One integrity run of the past; ``report`` is None when it ended without one."""

    run: Execution
    report: IntegrityReport | None


@dataclass(frozen=True)
class Followed:
    """A check as it stands, and its report once it is over."""

    run: Requested
    report: IntegrityReport | None


@action(Permission.BACKUPS_VERIFY, target=lambda wish: wish.backup or shown(wish.storages))
def start(who: Identity, wish: IntegritySpec) -> str:
    """Put a check into the queue, and give the id of its run. Raises ConnectionError."""
    from deployments import requests

    _require(who, Permission.BACKUPS_VERIFY, wish.backup)
    return requests.put_integrity(wish)


@action(Permission.BACKUPS_READ)
def follow(who: Identity, run: str) -> Followed:
    """How far a check is. Raises ConfigurationError when there is no such run."""
    from deployments import requests

    with who.concealing(Permission.BACKUPS_READ):
        found = requests.look(run, KIND)
    _require(who, Permission.BACKUPS_READ, IntegritySpec.model_validate(found.parameters.get("wish", {})).backup)
    return Followed(found, _report(found.report))


@action(Permission.BACKUPS_READ)
def health(who: Identity) -> Health:
    """How many copies there are, and how their last checks ended."""
    return inventory().health(who.rights.limits.get(Permission.BACKUPS_READ))


@action(Permission.BACKUPS_READ)
def checks(who: Identity, *, limit: int = 50, offset: int = 0) -> Checks:
    """The last check of each copy: failures first, then what was never checked, then the oldest checks."""
    sources = who.rights.limits.get(Permission.BACKUPS_READ)
    rows = inventory().checks(sources, limit=limit, offset=offset)
    return Checks(tuple(rows), inventory().copies(sources))


@action(Permission.BACKUPS_READ)
def past(who: Identity, *, limit: int = 10, offset: int = 0) -> Sequence[Past]:
    """The last integrity runs, newest first; they are about everything, so nobody who is limited sees them."""
    who.require_everywhere(Permission.BACKUPS_READ)
    found = executions().search(WantedRuns(kind=KIND), limit=limit, offset=offset)
    return [Past(one, _report(one.report)) for one in found]


@action(Permission.BACKUPS_READ)
def schedule(who: Identity) -> Timetable | None:
    """When everything is checked by itself; None where the system was never started."""
    from deployments import system_schedules
    from flows.integrity import integrity

    return system_schedules.timetable_of(integrity)


@action(Permission.SYSTEM_WRITE)
def set_schedule(who: Identity, *, active: bool) -> None:
    """Let everything be checked by itself, or no longer. Raises ConnectionError."""
    from deployments import system_schedules
    from flows.integrity import integrity

    system_schedules.set_active(integrity, active=active)


def _require(who: Identity, permission: Permission, backup: str | None) -> None:
    """Raises PermissionError where somebody is limited, unless a backup of theirs is named by its id.

    ``latest`` may be another one on a storage than in the catalog, and another one later.
    """
    if not who.is_limited(permission):
        return
    held = inventory().get(backup) if backup else None
    if held is None:
        who.require_everywhere(permission)
    else:
        who.require(permission, held.source)


def _report(written: str | None) -> IntegrityReport | None:
    return IntegrityReport.model_validate_json(written) if written else None
