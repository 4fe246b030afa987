"""Take a backup: ``from flows.backup import backup; report = backup(JobSpec(...))``.

The dump runs in the main thread, where a cancellation arrives; uploads follow its spool in threads of their own
and end when the spool is aborted. A destination's manifest is written last, and only when everything on it has
been proven. Nothing of an unfinished backup is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from prefect.futures import PrefectFuture

from core.errors import DBackupError
from core.jobs import Address, JobSpec
from core.manifest import Manifest, ManifestFile, Trigger
from core.reports import BackupReport, Failure, Retained, StoredCopy
from core.states import RunState
from flows.notifying import notifying
from flows.sealed_flow import ended, failure_of, sealed_flow
from services import backups
from services.backups import Item, Plan
from services.destinations import Destination
from services.memory_spool import MemorySpool
from services.spool import Spool, SpoolReader
from tasks import backup as steps
from tasks import healing
from tasks.artifacts import board
from tasks.backup import Prepared
from tasks.bookkeeping import amend, complete, recorded
from tasks.notifications import BackupStory
from tasks.step import retried


@dataclass
class Attempt:
    """One item under way: its spool, its uploads by destination, and what came of its dump."""

    item: Item
    spool: Spool | MemorySpool
    uploads: dict[str, PrefectFuture[None]] = field(default_factory=dict)
    ended: list[PrefectFuture[None]] = field(default_factory=list)  # the uploads that are over, well or not
    dumped: ManifestFile | Failure | None = None


@sealed_flow("backup")
def backup(job: JobSpec, trigger: Trigger = "python") -> BackupReport:
    """Back up what the job asks for. Raises RunFailed, with the report, unless all of it is safe everywhere."""
    story, name, source = BackupStory(job), job.name or job.source.shown, job.source.saved_name
    with recorded("backup", name, source=source) as execution, notifying(job.notify, story) as notifier:
        prepared = _prepared(job, trigger)
        with board(prepared.plan) as shown:
            manifest, copies, failures = _stored(prepared)
            healing.owe(prepared, manifest, copies)
            report = _report(prepared, manifest, copies, failures)
            complete(execution, report)  # nothing that comes now changes the outcome of this run
            report = notifier.told(_tended(prepared, manifest, report))
            shown.show(report)
        amend(execution, report)
    return ended(report)


def _prepared(job: JobSpec, trigger: Trigger) -> Prepared:
    """Connect to the source and to every destination, and again while that can help; a wrong password is not tried."""
    plan = retried(steps.initialize, job.retries)(job, trigger)
    return steps.prepared(plan, [_connected(plan, address) for address in job.destinations])


def _connected(plan: Plan, address: Address) -> Destination | StoredCopy:
    name = steps.name_of(address)
    try:
        return retried(steps.connect, plan.spec.retries)(plan, address, name)
    except DBackupError as error:
        return steps.unusable(name, error)


def _stored(prepared: Prepared) -> tuple[Manifest, list[StoredCopy], list[Failure]]:
    """Dump one database after the other, and bring each to every destination beside its dump."""
    with steps.alone(prepared), steps.folders(prepared) as (spools, scratch), _under_way(prepared) as attempts:
        for item in backups.items(prepared.plan, scratch):
            attempts.append(Attempt(item, backups.spool(prepared.plan, spools / item.name)))
            _begin(prepared, attempts[-1])
            attempts[-1].dumped = _dump(prepared.plan, attempts[-1])
            _let_go(attempts)
            if prepared.plan.spec.spool == "memory":  # the bound is for all databases together
                _wait(attempts)
        return _settle(prepared, attempts)


@contextmanager
def _under_way(prepared: Prepared) -> Iterator[list[Attempt]]:
    """The attempts of this run. However it ends, every upload has ended and every spool is gone with it."""
    attempts: list[Attempt] = []
    try:
        yield attempts
    except BaseException:
        for attempt in attempts:
            attempt.spool.cancel()
        _wait(attempts)
        for destination in prepared.destinations:
            backups.withdraw(destination.storage, prepared.plan, _names(attempts))
        raise
    finally:
        for attempt in attempts:
            attempt.spool.close()


def _names(attempts: Sequence[Attempt]) -> list[str]:
    return [attempt.item.name for attempt in attempts]


def _begin(prepared: Prepared, attempt: Attempt) -> None:
    """Let the uploads follow the spool."""
    spec = prepared.plan.spec
    upload = retried(steps.upload, spec.retries if spec.spool == "disk" else 0)
    readers = [(one, attempt.spool.reader()) for one in prepared.destinations]
    for one, reader in readers:
        future = upload.submit(prepared.plan, attempt.item, reader, one)
        attempt.uploads[one.name] = future
        future.add_done_callback(partial(_over, attempt, reader))


def _over(attempt: Attempt, reader: SpoolReader, upload: PrefectFuture[None]) -> None:
    """An upload has ended, well or not: nobody is to wait for it."""
    reader.leave()
    attempt.ended.append(upload)


def _dump(plan: Plan, attempt: Attempt) -> ManifestFile | Failure:
    try:
        return steps.dump(plan, attempt.item, attempt.spool)
    except DBackupError as error:
        return Failure.of(attempt.item.label, error)


def _let_go(attempts: Sequence[Attempt]) -> None:
    """Give back the disk space of every spool that all its uploads are done with."""
    for attempt in attempts:
        if len(attempt.ended) == len(attempt.uploads):
            attempt.spool.close()


def _wait(attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        for upload in attempt.uploads.values():
            upload.wait()


def _settle(prepared: Prepared, attempts: Sequence[Attempt]) -> tuple[Manifest, list[StoredCopy], list[Failure]]:
    """Prove and commit each copy as soon as it is there: no destination waits for a slower one.

    The manifest is one and the same everywhere.
    """
    files = [attempt.dumped for attempt in attempts if isinstance(attempt.dumped, ManifestFile)]
    failures = [attempt.dumped for attempt in attempts if isinstance(attempt.dumped, Failure)]
    manifest = backups.manifest(prepared.plan, files, missing=[failure.subject for failure in failures])
    with ThreadPoolExecutor(len(prepared.destinations), thread_name_prefix="settle") as threads:
        under_way = [
            threads.submit(copy_context().run, _settled, prepared.plan, one, attempts, manifest)
            for one in prepared.destinations
        ]
        try:
            copies = [one.result() for one in under_way]
        except BaseException:  # a cancellation: the threads end with the uploads that they wait for
            for attempt in attempts:
                attempt.spool.cancel()
            raise
    return manifest, [*copies, *prepared.unusable], failures


def _settled(plan: Plan, destination: Destination, attempts: Sequence[Attempt], manifest: Manifest) -> StoredCopy:
    """Wait for the uploads to a destination, prove what lies there, and commit it; or remove what is not proven."""
    problem = _upload_problem(destination, attempts) or _nothing_dumped(destination, manifest)
    try:
        if problem is None:
            proof = retried(steps.verify, plan.spec.retries)(plan, destination, manifest.files)
            return retried(steps.commit, plan.spec.retries)(plan, destination, manifest, proof)
    except DBackupError as error:
        problem = Failure.of(destination.name, error)
    backups.withdraw(destination.storage, plan, [attempt.item.name for attempt in attempts])
    return StoredCopy(storage=destination.name, complete=False, failure=problem)


def _upload_problem(destination: Destination, attempts: Sequence[Attempt]) -> Failure | None:
    """Why a destination has not everything that was dumped. Waits for its uploads."""
    problems = [
        failure_of(destination.name, attempt.uploads[destination.name])
        for attempt in attempts
        if isinstance(attempt.dumped, ManifestFile)
    ]
    return next(filter(None, problems), None)


def _nothing_dumped(destination: Destination, manifest: Manifest) -> Failure | None:
    if any(file.kind == "database" for file in manifest.files):
        return None
    return Failure(subject=destination.name, reason="no database could be dumped, so there is nothing to keep")


def _report(
    prepared: Prepared, manifest: Manifest, copies: Sequence[StoredCopy], failures: Sequence[Failure]
) -> BackupReport:
    complete = [copy for copy in copies if copy.complete]
    state = RunState.of(succeeded=len(complete), failed=len(copies) - len(complete) + len(failures))
    return BackupReport(
        state=state,
        backup_id=manifest.backup_id,
        job=manifest.job.name,
        folder=prepared.plan.folder,
        started_at=prepared.plan.started_at,
        finished_at=datetime.now(UTC),
        files=manifest.files,
        copies=tuple(copies),
        failures=(*failures, *(copy.failure for copy in copies if copy.failure)),
    )


def _tended(prepared: Prepared, manifest: Manifest, report: BackupReport) -> BackupReport:
    """Pay what earlier runs owe, then apply retention: what one destination deletes may be owed to another.

    Only a success may delete: while backups fail, the old ones are all there is.
    """
    healed, problem = healing.pay(prepared)
    places = prepared.destinations if report.state.is_good else ()
    retained = tuple(_retained(prepared.plan, manifest, one) for one in places)
    return report.model_copy(update={"healed": healed, "healing_failure": problem, "retention": retained})


def _retained(plan: Plan, manifest: Manifest, destination: Destination) -> Retained:
    """Apply retention. Whatever goes wrong with it, the backup is safe and its run stays a success."""
    try:
        return steps.retain(plan.spec, manifest, destination)
    except DBackupError as error:
        failure = Failure.of(f"retention on {destination.name}", error)
        return Retained(storage=destination.name, policy=str(plan.spec.retention_at(destination.name)), failure=failure)
