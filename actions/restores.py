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


@dataclass(frozen=True)
class Followed:
    """A restore as it stands, what was asked for, and its report once it is over."""

    run: Requested
    wish: RestoreSpec
    report: RestoreReport | None


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def plan(who: Identity, wish: RestoreSpec) -> RestorePlan:
    """What a restore would do. Nothing is changed. Raises what stands against all of it."""
    _allow(who, wish)
    place = Place(open_storage(wish.storage), open_source(wish.target), settings().runs)
    return restore_plans.plan(place, wish.backup, Wish.of(wish), keyring(), accept_tampered=wish.accept_tampered)


@action(Permission.BACKUPS_RESTORE, target=lambda wish: f"{wish.backup} into {wish.target.shown}")
def start(who: Identity, wish: RestoreSpec) -> str:
    """Put a restore into the queue, and give the id of its run: it goes on whoever looks. Raises ConnectionError."""
    from deployments import requests

    _allow(who, wish)
    return requests.put_restore(wish)


@action(Permission.BACKUPS_READ)
def follow(who: Identity, run: str) -> Followed:
    """How far a restore is. Raises ConfigurationError when there is no such run."""
    from deployments import requests

    found = requests.look(run)
    wish = RestoreSpec.model_validate(found.parameters.get("wish"))
    who.require(Permission.BACKUPS_READ, wish.target)
    return Followed(found, wish, RestoreReport.model_validate_json(found.report) if found.report else None)


@action(Permission.BACKUPS_READ)
def targets(who: Identity) -> Sequence[str]:
    """The saved sources that one may restore into."""
    from blocks.saved import Kind, everything

    return [name for name in everything(Kind.SOURCE) if who.reaches(Permission.BACKUPS_RESTORE, name)]


def _allow(who: Identity, wish: RestoreSpec) -> None:
    who.require(Permission.BACKUPS_RESTORE, wish.target)
    who.require_of(Permission.BACKUPS_RESTORE, lambda: stored.source_of(open_storage(wish.storage), wish.backup))
