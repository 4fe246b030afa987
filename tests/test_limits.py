"""Whoever is limited to one source sees and touches no other, whichever action they try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import actions.backups
import actions.saved
import deployments.jobs
from actions import backups, jobs, overview, retention, runs, saved
from actions.backups import Row
from actions.door import Identity
from core.errors import PermissionError
from core.jobs import Address, IntegritySpec, JobSpec, RestoreSpec
from core.permissions import Permission
from tests.test_door import Book, book, every_action, name_of

__all__ = ["book"]

OURS, THEIRS, NAS = Address("shop"), Address("crm"), Address("nas")
LIMITED = Identity(
    "eve", frozenset(Permission), {one: frozenset({OURS}) for one in Permission if one.is_about_sources}, origin="::1"
)
JOB = JobSpec(source=THEIRS, destinations=(NAS,), name="nightly")

ATTEMPTS: dict[str, Callable[[Identity], object]] = {
    "saved.add_source": lambda who: saved.add_source(who, "crm", "sqlite:///tmp/x"),
    "saved.test_source": lambda who: saved.test_source(who, THEIRS),
    "saved.remove_source": lambda who: saved.remove_source(who, "crm"),
    "jobs.create": lambda who: jobs.create(who, JOB),
    "jobs.get": lambda who: jobs.get(who, "nightly"),
    "jobs.run": lambda who: jobs.run(who, "nightly"),
    "jobs.heal": lambda who: jobs.heal(who, "nightly"),
    "jobs.check_freshness": jobs.check_freshness,
    "jobs.edit": lambda who: jobs.edit(who, JOB),
    "jobs.edit into ours": lambda who: jobs.edit(who, JOB.model_copy(update={"source": OURS})),
    "jobs.pause": lambda who: jobs.pause(who, "nightly"),
    "jobs.resume": lambda who: jobs.resume(who, "nightly"),
    "jobs.timetable": lambda who: jobs.timetable(who, "nightly"),
    "jobs.delete": lambda who: jobs.delete(who, "nightly"),
    "runs.back_up": lambda who: runs.back_up(who, JOB),
    "runs.restore": lambda who: runs.restore(who, RestoreSpec(backup="latest", storage=NAS, target=OURS)),
    "runs.restore into": lambda who: runs.restore(who, RestoreSpec(backup="ours", storage=NAS, target=THEIRS)),
    "runs.restore elsewhere": lambda who: runs.restore(
        who, RestoreSpec(backup="ours", storage=NAS, target=Address("sqlite:///tmp/x"))
    ),
    "runs.verify": lambda who: runs.verify(who, IntegritySpec(backup="latest", storages=(NAS,))),
    "runs.verify everywhere": lambda who: runs.verify(who, IntegritySpec(backup="latest")),
    "runs.verify everything": lambda who: runs.verify(who, IntegritySpec(storages=(NAS,))),
    "backups.show": lambda who: backups.show(who, "latest"),
    "backups.show there": lambda who: backups.show(who, "latest", NAS),
    "backups.locate": lambda who: backups.locate(who, "latest", NAS),
    "backups.delete": lambda who: backups.delete(who, "latest", NAS),
    "backups.set_lock": lambda who: backups.set_lock(who, "latest", NAS, locked=False),
    "backups.rebuild_catalog": lambda who: backups.rebuild_catalog(who, [NAS]),
    "backups.clean": lambda who: backups.clean(who, NAS, dry_run=True),
    "retention.prune": lambda who: retention.prune(who, JOB, dry_run=True),
}
NAMELESS = {"queue.queue", "jobs.preview"}  # workers, and the times of a schedule: no job and no source
LISTS = {
    "saved.sources",
    "jobs.everything",
    "jobs.last_runs",
    "overview.everything",
    "backups.in_catalog",
    "backups.on_storage",
}


@dataclass(frozen=True)
class Found:
    readable: tuple[JobSpec, ...]
    unreadable: tuple[object, ...]
    timetables: Mapping[str, object] = field(default_factory=dict)


def backup_of(source: str) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(source=SimpleNamespace(name=source)), storages=(), locked=False)


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch, book: Book) -> None:
    """A job, a backup and a source of somebody else, and one of each of our own."""
    ours = JOB.model_copy(update={"source": OURS, "name": "ours"})
    monkeypatch.setattr(deployments.jobs, "get", lambda name: JOB if name == "nightly" else ours)
    monkeypatch.setattr(deployments.jobs, "everything", lambda: Found((JOB, ours), (object(),)))
    resolved = lambda _storage, reference: backup_of("shop" if reference == "ours" else "crm")  # noqa: E731
    monkeypatch.setattr(actions.backups.stored, "resolve", resolved)
    for module in (actions.backups, runs):
        monkeypatch.setattr(module, "open_storage", lambda _: SimpleNamespace())
    catalog = SimpleNamespace(find=partial(resolved, None), backups=lambda limit, job: [1, 2, 3])
    monkeypatch.setattr(actions.backups, "catalog", lambda: catalog)
    listed = [saved.Saved("crm", "", ""), saved.Saved("shop", "", "")]
    monkeypatch.setattr(actions.saved, "_listed", lambda _: listed)


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_nothing_is_done_to_another_source(attempt: Callable[[Identity], object], book: Book) -> None:
    with pytest.raises(PermissionError, match="some sources only") as refused:
        attempt(LIMITED)
    assert refused.value.hint
    assert [entry.result for entry in book.entries] == ["refused"]


def test_every_action_about_sources_is_tried_here() -> None:
    about = set()
    for function in every_action():
        for permission in (one for one in Permission if one.is_about_sources):
            try:
                function(Identity("x", frozenset({permission})), no_action_takes_this=True)
            except PermissionError:
                continue
            except TypeError:
                about.add(name_of(function))
    assert about == LISTS | NAMELESS | {name.partition(" ")[0] for name in ATTEMPTS}


def test_lists_hold_ones_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.name for one in saved.sources(LIMITED)] == ["shop"]
    found = jobs.everything(LIMITED)
    assert ([one.name for one in found.readable], found.unreadable) == (["ours"], ())
    monkeypatch.setattr(
        jobs, "executions", lambda: SimpleNamespace(newest_of_each_job=lambda _: {"ours": 1, "nightly": 2})
    )
    assert set(jobs.last_runs(LIMITED)) == {"ours"}
    monkeypatch.setattr(overview.overview, "lines", lambda specs, _: [spec.name for spec in specs])
    seen = overview.everything(LIMITED)
    assert (seen.lines, seen.unreadable, seen.stored, seen.days, seen.runs) == (("ours",), (), {}, {}, {})
    rows = [Row(str(n), "", source, "", None, 0, 0, None, (), False) for n, source in enumerate(["crm", "shop", ""])]
    assert [row.source for row in backups._visible(LIMITED, rows)] == ["shop"]


def test_what_is_ones_own_can_be_used() -> None:
    assert jobs.get(LIMITED, "ours").source == OURS
    assert backups.show(LIMITED, "ours").manifest.source.name == "shop"
