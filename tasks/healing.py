"""Bringing to destinations what earlier runs owe them, from where it is, without a new dump."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from blocks.addresses import keyring
from core import naming
from core.errors import DBackupError
from core.jobs import JobSpec
from core.log import logger
from core.manifest import Manifest
from core.reports import Failure, Healed, StoredCopy
from services import healing, retention
from services.backups import saved_job
from services.destinations import Destination
from services.healing import Healing
from services.records import owed_copies
from tasks.backup import Prepared, open_destination
from tasks.step import step

log = logger(service="healing")


def owe(prepared: Prepared, manifest: Manifest, copies: Sequence[StoredCopy]) -> None:
    """Note which destinations this run owes its backup to."""
    if any(copy.complete for copy in copies):
        missing = [(copy.storage, str(copy.failure)) for copy in copies if not copy.complete]
        healing.owe(prepared.plan.folder, manifest.backup_id, missing)


def pay(prepared: Prepared) -> tuple[tuple[Healed, ...], Failure | None]:
    """Bring to the destinations of this run what earlier ones owe them, as far as the job's retention keeps it.

    Whatever fails stays owed, and comes with the reason; so does why nothing could be looked at.
    """
    slug, answering = prepared.plan.slug, {one.name for one in prepared.destinations}
    try:
        if any(one.storage in answering for one in owed_copies().of_job(slug)):
            return heal(prepared.plan.spec, slug, prepared.destinations, all_answer=not prepared.unusable), None
    except DBackupError as error:
        log.warning("what earlier runs owe stays owed", reason=error.message)
        return (), Failure.of("what earlier runs owe", error)
    return (), None


@step("heal")
def heal(job: JobSpec, slug: str, destinations: Sequence[Destination], *, all_answer: bool) -> tuple[Healed, ...]:
    """Bring every owed copy to the destinations that are open; none of them that fails ends the run."""
    rules = partial(retention.rules_of, job)
    return tuple(healing.heal(slug, Healing(destinations, all_answer, keyring(), rules)))


@step("initialize")
def initialize(job: JobSpec) -> tuple[str, tuple[Destination, ...], tuple[StoredCopy, ...]]:
    """The job's folder, the destinations that answer, and those that do not. The source is not touched."""
    reference = saved_job(job.name)
    opened = [open_destination(address) for address in job.destinations]
    answering = tuple(one for one in opened if isinstance(one, Destination))
    silent = tuple(one for one in opened if isinstance(one, StoredCopy))
    return naming.job_slug(reference.name, reference.id), answering, silent


def still_owed(slug: str, silent: StoredCopy) -> list[Healed]:
    """What a destination that does not answer is owed, with the reason that it gives."""
    owed = [one for one in owed_copies().of_job(slug) if one.storage == silent.storage]
    return [Healed(backup_id=one.backup_id, storage=one.storage, reason=str(silent.failure)) for one in owed]
