"""Take a backup: ``from flows.backup import backup; report = backup(JobSpec(...))``.

The dump runs in the main thread, where a cancellation arrives; uploads follow its spool in threads of their own
and end when the spool is aborted. A destination's manifest is written last, and only when everything on it has
been read back. Nothing of an unfinished backup is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from prefect.futures import PrefectFuture

from core.errors import DBackupError
from core.jobs import JobSpec
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
from tasks.backup import Prepared
from tasks.bookkeeping import complete, recorded
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
    story, name = BackupStory(job), job.name or job.source.shown
    with recorded("backup", name) as execution, notifying(job.notify, story) as notifier:
        prepared = steps.initialize(job, trigger)
        with steps.folders(prepared) as (spools, scratch), _under_way(prepared) as attempts:
            for item in backups.items(prepared.plan, scratch):
                attempts.append(Attempt(item, backups.spool(prepared.plan, spools / item.name)))
                _begin(prepared, attempts[-1])
                attempts[-1].dumped = _dump(prepared.plan, attempts[-1])
                _let_go(attempts)
            manifest, copies, failures = _settle(prepared, attempts)
        healed = healing.settle(prepared, manifest, copies)
        report = _report(prepared, manifest, copies, failures).model_copy(update={"healed": healed})
        report = notifier.told(report)
        complete(execution, report)
    return ended(report)


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
    """Wait for the uploads, prove each copy, and commit those that are proven."""
    _wait(attempts)
    files = [attempt.dumped for attempt in attempts if isinstance(attempt.dumped, ManifestFile)]
    failures = [attempt.dumped for attempt in attempts if isinstance(attempt.dumped, Failure)]
    problems = {one.name: _upload_problem(one, attempts) for one in prepared.destinations}
    proofs: dict[str, Failure | str] = {name: problem for name, problem in problems.items() if problem}
    unproven = [one for one in prepared.destinations if one.name not in proofs]
    if any(file.kind == "database" for file in files):
        proofs |= _verify(prepared, unproven, files)
    else:
        proofs |= {one.name: _nothing_dumped(one.name) for one in unproven}
    manifest = backups.manifest(prepared.plan, files, missing=[failure.subject for failure in failures])
    names = _names(attempts)
    copies = [_copy(prepared.plan, one, proofs[one.name], manifest, names) for one in prepared.destinations]
    return manifest, [*copies, *prepared.unusable], failures


def _upload_problem(destination: Destination, attempts: Sequence[Attempt]) -> Failure | None:
    """Why a destination has not everything that was dumped."""
    dumped = [attempt for attempt in attempts if isinstance(attempt.dumped, ManifestFile)]
    problems = (failure_of(destination.name, attempt.uploads[destination.name]) for attempt in dumped)
    return next(filter(None, problems), None)


def _verify(
    prepared: Prepared, destinations: Sequence[Destination], files: Sequence[ManifestFile]
) -> dict[str, Failure | str]:
    """Prove every copy, all destinations at once; gives how each was proven, or why not."""
    verify = retried(steps.verify, prepared.plan.spec.retries)
    checks = {one.name: verify.submit(prepared.plan, one, files) for one in destinations}
    return {name: failure_of(name, check) or check.result() for name, check in checks.items()}


def _nothing_dumped(name: str) -> Failure:
    return Failure(subject=name, reason="no database could be dumped, so there is nothing to keep")


def _copy(
    plan: Plan, destination: Destination, proof: Failure | str, manifest: Manifest, names: Sequence[str]
) -> StoredCopy:
    """Commit a copy that was proven, by the way that ``proof`` says; remove the remains of one that was not."""
    try:
        if isinstance(proof, str):
            return steps.commit(plan, destination, manifest, proof)
    except DBackupError as error:
        proof = Failure.of(destination.name, error)
    backups.withdraw(destination.storage, plan, names)
    return StoredCopy(storage=destination.name, complete=False, failure=proof)


def _report(
    prepared: Prepared, manifest: Manifest, copies: Sequence[StoredCopy], failures: Sequence[Failure]
) -> BackupReport:
    complete = [copy for copy in copies if copy.complete]
    state = RunState.of(succeeded=len(complete), failed=len(copies) - len(complete) + len(failures))
    # Only a success may delete: while backups fail, the old ones are all there is.
    retained = [_retained(prepared.plan, manifest, one) for one in prepared.destinations] if state.is_good else []
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
        retention=tuple(retained),
    )


def _retained(plan: Plan, manifest: Manifest, destination: Destination) -> Retained:
    """Apply retention. Whatever goes wrong with it, the backup is safe and its run stays a success."""
    try:
        return steps.retain(plan.spec, manifest, destination)
    except DBackupError as error:
        failure = Failure.of(f"retention on {destination.name}", error)
        return Retained(storage=destination.name, policy=str(plan.spec.retention_at(destination.name)), failure=failure)
