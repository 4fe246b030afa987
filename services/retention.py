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
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from core.container import Keyring
from core.errors import DBackupError
from core.jobs import JobSpec
from core.log import logger
from core.manifest import Manifest
from core.reports import Failure, Retained, RetainedBackup
from core.retention import EVERYTHING, Candidate, Decision
from services import stored
from services.candidates import Candidates, Rules, Series, candidate
from services.destinations import Destination
from services.records import catalog
from services.stored import Folder

CUT = "an earlier deletion was cut short"
log = logger(service="retention")


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
    found = Candidates(place, series, keys)
    cut = list(_cut_deletions(found, rules))  # what is read for their sake is known to the other decisions
    verdicts = [Verdict(found.folders[one.backup.backup_id], one) for one in found.decided(rules)]
    return [*verdicts, *cut]


def _cut_deletions(found: Candidates, rules: Rules) -> Iterator[Verdict]:
    """What is left of backups whose manifest is gone although they were committed, and that no rule would keep.

    A backup under way is not recorded yet, so it is never taken for one. What a rule would keep may have lost its
    manifest by accident, and is left alone.
    """
    for folder, one in found.cut():
        if not _about(one, found.decided(rules, one)).keep:
            yield Verdict(folder, Decision(one, False, (CUT,)))


def _about(one: Candidate, decisions: Sequence[Decision]) -> Decision:
    return next(decision for decision in decisions if decision.backup == one)


def wanted(place: Destination, manifest: Manifest, rules: Rules, keys: Callable[[], Keyring]) -> Decision:
    """Whether a backup that is not on a destination would stay there, and why. Raises what :class:`Candidates` raises.

    A pin holds one copy of a backup, so a pin elsewhere does not count here.
    """
    one = candidate(manifest, complete=not manifest.missing, pinned=False)
    if rules.policy.keeps_everything:
        return Decision(one, True, (EVERYTHING,))
    found = Candidates(place, Series.of(manifest.job, manifest.source), keys)
    return _about(one, found.decided(rules, one))


def rules_of(job: JobSpec, destination: str) -> Rules:
    """What decides now about a job's backups on one of its destinations, which is given by its name."""
    return Rules(job.retention_at(destination), ZoneInfo(job.timezone), datetime.now(UTC))


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
