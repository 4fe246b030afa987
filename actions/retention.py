"""Retention outside a run: what a job's rules say about each of its destinations, and doing it."""

from __future__ import annotations

from actions.door import Identity, action
from blocks.addresses import keyring, open_source, open_storage
from core.errors import DBackupError
from core.jobs import Address, JobSpec
from core.permissions import Permission
from core.reports import Failure, Retained
from services import retention
from services.backups import job_reference, source_name
from services.candidates import Series
from services.destinations import Destination


@action(Permission.BACKUPS_WRITE, target=lambda job, **_: job.name or job.source.shown)
def prune(who: Identity, job: JobSpec, *, dry_run: bool) -> tuple[Retained, ...]:
    """Decide about every backup of the job on each of its destinations, and delete unless ``dry_run``.

    The source is not connected to. A destination that cannot be opened or listed comes with its failure. Raises
    ConfigurationError when the source is not known.
    """
    who.require(Permission.BACKUPS_WRITE, job.source)
    return _decided(job, dry_run=dry_run)


@action(Permission.BACKUPS_READ, target=lambda job: job.name or job.source.shown)
def preview(who: Identity, job: JobSpec) -> tuple[Retained, ...]:
    """What :func:`prune` would decide now. Nothing is deleted."""
    who.require(Permission.BACKUPS_READ, job.source)
    return _decided(job, dry_run=True)


def _decided(job: JobSpec, *, dry_run: bool) -> tuple[Retained, ...]:
    source = open_source(job.source)
    series = Series(job_reference(job, source), source.engine, source_name(job, source))
    return tuple(_pruned(job, address, series, dry_run=dry_run) for address in job.destinations)


def _pruned(job: JobSpec, address: Address, series: Series, *, dry_run: bool) -> Retained:
    name = address.shown
    try:
        storage = open_storage(address)
        name = name if address.is_name else storage.describe()
    except DBackupError as error:
        failure = Failure.of(f"retention on {name}", error)
        return Retained(storage=name, policy=str(job.retention_at(name)), failure=failure)
    act = retention.preview if dry_run else retention.apply
    return act(Destination(name, storage), series, retention.rules_of(job, name), keyring)
