"""Restores as a page knows them: what one would do, begun in the queue, and followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actions.door import Identity, action
from blocks.addresses import keyring, open_source, open_storage
from core.jobs import RestoreSpec
from core.permissions import Permission
from core.reports import RestoreReport
from core.settings import settings
from services import restore_plans, stored
from services.restore_plans import Place, RestorePlan
from services.restores import Wish

if TYPE_CHECKING:
    from deployments.requests import Requested


KIND = "restore"


@dataclass(frozen=True)
class Followed:
    """A restore as it stands, what was asked for, and its report once it is over."""

    run: Requested
    wish: RestoreSpec
    report: RestoreReport | None


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def plan(who: Identity, wish: RestoreSpec) -> RestorePlan:
    """What a restore would do. Nothing is changed. Raises what stands against all of it."""
    wish = _allowed(who, wish)
    place = Place(open_storage(wish.storage), open_source(wish.target), settings().runs)
    return restore_plans.plan(place, wish.backup, Wish.of(wish), keyring(), accept_tampered=wish.accept_tampered)


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def start(who: Identity, wish: RestoreSpec) -> str:
    """Put a restore into the queue, and give the id of its run: it goes on whoever looks. Raises ConnectionError."""
    from deployments import requests

    return requests.put_restore(_allowed(who, wish))


@action(Permission.BACKUPS_RESTORE, looks=True)
def follow(who: Identity, run: str) -> Followed:
    """How far a restore is that one might have started. Raises ConfigurationError when there is no such run."""
    from deployments import requests

    with who.concealing(Permission.BACKUPS_RESTORE):
        found = requests.look(run, KIND)
    if not found.run.is_within(who.limits.get(Permission.BACKUPS_RESTORE)):
        who.require_everywhere(Permission.BACKUPS_RESTORE)
    wish = RestoreSpec.model_validate(found.parameters.get("wish"))
    return Followed(found, wish, RestoreReport.model_validate_json(found.report) if found.report else None)


@action(Permission.BACKUPS_READ)
def targets(who: Identity) -> Sequence[str]:
    """The saved sources that one may restore into."""
    from blocks.saved import Kind, everything

    return [name for name in everything(Kind.SOURCE) if who.reaches(Permission.BACKUPS_RESTORE, name)]


def _allowed(who: Identity, wish: RestoreSpec) -> RestoreSpec:
    """The wish as it may be fulfilled: for whoever is limited, of the backup that was looked at.

    ``latest`` may be somebody else's when the restore's turn comes.
    """
    who.require(Permission.BACKUPS_RESTORE, wish.target)
    if not who.is_limited(Permission.BACKUPS_RESTORE):
        return wish
    with who.concealing(Permission.BACKUPS_RESTORE):
        manifest = stored.resolve(open_storage(wish.storage), wish.backup).manifest
    who.require(Permission.BACKUPS_RESTORE, manifest.source.name)
    return wish.model_copy(update={"backup": manifest.backup_id})
