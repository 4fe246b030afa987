"""Retention on one destination: what there is, what stays, and what is deleted.

Any doubt about what there is stops it before anything is deleted: a list that fails, a manifest of the job that cannot
be read or was tampered with, a pin that cannot be read. What cannot be deleted is reported, stays in the catalog, and
is due again the next time; so is a deletion that was cut after its manifest was gone.

Several may work on one destination at once: what one keeps is kept by all of them, and what is gone already is no
error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from core import naming
from core.container import Keyring
from core.errors import BackupNotFound, DBackupError, TamperedManifest
from core.log import logger
from core.manifest import JobReference, Manifest, ManifestFile, SourceDescription
from core.reports import Failure, Retained, RetainedBackup
from core.retention import Candidate, Decision, Retention, decide
from services import stored
from services.authorship import Authors
from services.destinations import Destination
from services.records import catalog
from services.stored import Folder, StoredBackup

CUT = "an earlier deletion was cut short"
log = logger(service="retention")


@dataclass(frozen=True)
class Series:
    """The backups that are decided about together: those of one job and one source.

    Which of them stand in for each other depends on what they hold.
    """

    job: JobReference
    engine: str
    source: str

    @classmethod
    def of(cls, job: JobReference, source: SourceDescription) -> Series:
        """The series that a backup belongs to."""
        return cls(job, source.engine, source.name)

    def holds(self, manifest: Manifest) -> bool:
        """Whether a backup belongs to it."""
        return Series.of(manifest.job, manifest.source) == self


@dataclass(frozen=True)
class Rules:
    """What decides on a destination: the policy, the job's time zone, and the time at which is decided."""

    policy: Retention
    zone: ZoneInfo
    now: datetime


@dataclass(frozen=True)
class Verdict:
    """A decision about what lies in one folder."""

    folder: Folder
    decision: Decision


def preview(place: Destination, series: Series, rules: Rules, keys: Callable[[], Keyring]) -> Retained:
    """What :func:`apply` would do; nothing is touched. ``keys`` gives the keys that manifests are checked with."""
    return _retained(place, series, rules, keys, lambda verdict: _row(verdict, "due"))


def apply(place: Destination, series: Series, rules: Rules, keys: Callable[[], Keyring]) -> Retained:
    """Delete what no rule keeps. Never raises a DBackupError: the report says what did not work.

    ``keys`` gives the keys that manifests are checked with.
    """
    return _retained(place, series, rules, keys, lambda verdict: _deleted(place, verdict))


def _retained(
    place: Destination,
    series: Series,
    rules: Rules,
    keys: Callable[[], Keyring],
    drop: Callable[[Verdict], RetainedBackup],
) -> Retained:
    """Decide, hand what is to go to ``drop``, and log every line of the report."""
    if rules.policy.keeps_everything:
        log.info("retention", storage=place.name, job=series.job.name, decision="everything is kept, none is set")
        return Retained(storage=place.name)
    policy = str(rules.policy)
    try:
        verdicts = _verdicts(place, series, rules, keys)
    except DBackupError as error:
        log.error("retention stopped, nothing is deleted", storage=place.name, reason=error.message)
        return Retained(storage=place.name, policy=policy, failure=Failure.of(f"retention on {place.name}", error))
    rows = tuple(_row(one, "kept") if one.decision.keep else drop(one) for one in verdicts)
    for row in rows:
        log.info("retention", storage=place.name, backup=row.backup_id, outcome=row.outcome, reasons=list(row.reasons))
    return Retained(storage=place.name, policy=policy, backups=rows)


def _verdicts(place: Destination, series: Series, rules: Rules, keys: Callable[[], Keyring]) -> list[Verdict]:
    """A decision for every backup of the series. Raises on any doubt about what there is."""
    folders = stored.folders(place.storage, naming.job_slug(series.job.name, series.job.id))
    found = {one.folder.backup_id: one for one in _backups(place, folders) if series.holds(one.manifest)}
    _require_genuine(list(found.values()), keys, Authors(place.storage))
    candidates = [_candidate(place, one) for one in found.values()]
    decided = decide(candidates, rules.policy, rules.zone, rules.now)
    verdicts = [Verdict(found[one.backup.backup_id].folder, one) for one in decided]
    return [*verdicts, *_cut_deletions(place, series, rules, folders, candidates)]


def _backups(place: Destination, folders: Sequence[Folder]) -> Iterator[StoredBackup]:
    """The committed backups of a job. One that somebody else deletes at this moment is none any more."""
    for folder in folders:
        if folder.complete:
            try:
                yield stored.read(place.storage, folder)
            except BackupNotFound:
                continue


def _require_genuine(backups: Sequence[StoredBackup], keys: Callable[[], Keyring], authors: Authors) -> None:
    """Raise TamperedManifest or WrongKey unless all of them are as they were written, as far as that can be known."""
    available = keys() if any(one.manifest.key_ids() for one in backups) else {}
    for one in backups:
        authors.require(one, available)
        if one.manifest.started_at != naming.started_at(one.folder.backup_id):
            raise TamperedManifest(
                f"the manifest of {one.folder.backup_id} says that it was started at {one.manifest.started_at}",
                hint="somebody changed it: look at the destination, and delete this backup by hand if it is none",
            )


def _candidate(place: Destination, backup: StoredBackup) -> Candidate:
    manifest = backup.manifest
    pinned = stored.pinned(place.storage, backup.folder)
    return Candidate(manifest.backup_id, manifest.started_at, not manifest.missing, pinned, _holdings(manifest))


def _holdings(manifest: Manifest) -> frozenset[str]:
    """What a backup holds, each in words that fit nothing else. A part of a database is not the database."""
    return frozenset(map(_held, manifest.files))


def _held(file: ManifestFile) -> str:
    if file.kind == "globals":
        return "the globals"
    # a name in quotes cannot be taken for another name with filters, nor for the globals
    filters = (f" with {name} {list(chosen)}" for name, chosen in sorted(file.filters.items()))
    return repr(file.database) + "".join(filters)


def _cut_deletions(
    place: Destination, series: Series, rules: Rules, folders: Sequence[Folder], candidates: Sequence[Candidate]
) -> Iterator[Verdict]:
    """What is left of backups whose manifest is gone although they were committed, and that no rule would keep.

    A backup under way is not recorded yet, so it is never taken for one. What a rule would keep may have lost its
    manifest by accident, and is left alone.
    """
    for folder in folders:
        manifest = None if folder.complete else _recorded(place, folder)
        if manifest is None or not series.holds(manifest):
            continue
        pinned = stored.pinned(place.storage, folder)
        one = Candidate(manifest.backup_id, manifest.started_at, pinned=pinned, holds=_holdings(manifest))
        decided = decide([*candidates, one], rules.policy, rules.zone, rules.now)
        if not next(decision for decision in decided if decision.backup == one).keep:
            yield Verdict(folder, Decision(one, False, (CUT,)))


def _recorded(place: Destination, folder: Folder) -> Manifest | None:
    """The manifest of a backup that the catalog knows to have been committed here."""
    try:
        entry = catalog().find(folder.backup_id)
    except DBackupError:  # not known, or the catalog fails: then what is unfinished stays
        return None
    return entry.manifest if place.name in entry.storages else None


def _deleted(place: Destination, verdict: Verdict) -> RetainedBackup:
    """Delete one backup; one that cannot be deleted is due, and does not keep the others."""
    try:
        stored.delete(place.storage, verdict.folder)
    except DBackupError as error:
        log.warning("could not delete a backup", backup=verdict.folder.backup_id, reason=error.message)
        return _row(verdict, "due", f"could not be deleted, to be tried again: {error.message}")
    try:
        catalog().forget_location(verdict.folder.backup_id, place.name)
    except DBackupError as error:
        log.warning("the catalog still knows of this backup", reason=error.message, hint="dbackup catalog rebuild")
    return _row(verdict, "deleted")


def _row(verdict: Verdict, outcome: Literal["kept", "deleted", "due"], *more: str) -> RetainedBackup:
    backup = verdict.decision.backup
    return RetainedBackup(
        backup_id=backup.backup_id,
        started_at=backup.started_at,
        outcome=outcome,
        reasons=(*verdict.decision.reasons, *more),
    )
