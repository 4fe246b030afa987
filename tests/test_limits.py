"""Whoever is limited to one source sees and touches no other, whichever action they try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

import actions.backups
import actions.saved
import blocks.saved
import deployments.jobs
import deployments.requests
import deployments.runs
from actions import (
    backups,
    downloads,
    forms,
    integrity,
    inventory,
    jobs,
    overview,
    restores,
    retention,
    runs,
    saved,
    unfinished,
)
from actions.backups import Row
from actions.door import LOCAL_ADMINISTRATOR, Identity
from actions.downloads import Choice
from core.errors import BackupNotFound, NotFound, PermissionError
from core.jobs import Address, IntegritySpec, JobSpec, RestoreSpec
from core.permissions import Permission
from core.runs import Run, RunPage
from core.states import RunState
from db.executions import WantedRuns
from db.inventory import Health, Wanted
from tests.test_door import Book, book, every_action, name_of

__all__ = ["book"]

OURS, THEIRS, NAS = Address("shop"), Address("crm"), Address("nas")
LIMITED = Identity(
    "eve", frozenset(Permission), {one: frozenset({OURS}) for one in Permission if one.is_about_sources}, origin="::1"
)
JOB = JobSpec(source=THEIRS, destinations=(NAS,), name="nightly")
RESTORE = RestoreSpec(backup="latest", storage=NAS, target=OURS)
RESTORE_INTO = RestoreSpec(backup="ours", storage=NAS, target=THEIRS)
RESTORE_ELSEWHERE = RestoreSpec(backup="ours", storage=NAS, target=Address("sqlite:///tmp/x"))

ATTEMPTS: dict[str, Callable[[Identity], object]] = {
    "saved.add_source": lambda who: saved.add_source(who, "crm", "sqlite:///tmp/x"),
    "forms.source_form": lambda who: forms.source_form(who, "crm"),
    "forms.add_source": lambda who: forms.add_source(who, "crm", "SQLite", {}),
    "forms.change_source": lambda who: forms.change_source(who, "crm", {}),
    "saved.test_source": lambda who: saved.test_source(who, THEIRS),
    "saved.remove_source": lambda who: saved.remove_source(who, "crm"),
    "jobs.create": lambda who: jobs.create(who, JOB),
    "jobs.clone": lambda who: jobs.clone(who, "nightly", "copy"),
    "jobs.get": lambda who: jobs.get(who, "nightly"),
    "jobs.run": lambda who: jobs.run(who, "nightly"),
    "jobs.enqueue": lambda who: jobs.enqueue(who, "nightly"),
    "jobs.run_in_queue": lambda who: jobs.run_in_queue(who, "nightly", pytest.fail, pytest.fail),
    "jobs.heal": lambda who: jobs.heal(who, "nightly"),
    "jobs.check_freshness": jobs.check_freshness,
    "jobs.edit": lambda who: jobs.edit(who, JOB),
    "jobs.edit into ours": lambda who: jobs.edit(who, JOB.model_copy(update={"source": OURS})),
    "jobs.pause": lambda who: jobs.pause(who, "nightly"),
    "jobs.resume": lambda who: jobs.resume(who, "nightly"),
    "jobs.timetable": lambda who: jobs.timetable(who, "nightly"),
    "jobs.delete": lambda who: jobs.delete(who, "nightly"),
    "runs.back_up": lambda who: runs.back_up(who, JOB),
    "runs.restore": lambda who: runs.restore(who, RESTORE),
    "runs.restore into": lambda who: runs.restore(who, RESTORE_INTO),
    "runs.restore elsewhere": lambda who: runs.restore(who, RESTORE_ELSEWHERE),
    "runs.verify": lambda who: runs.verify(who, IntegritySpec(backup="latest", storages=(NAS,))),
    "runs.verify everywhere": lambda who: runs.verify(who, IntegritySpec(backup="latest")),
    "runs.verify everything": lambda who: runs.verify(who, IntegritySpec(storages=(NAS,))),
    "runs.show": lambda who: runs.show(who, "theirs"),
    "runs.show of nobody": lambda who: runs.show(who, "whose"),
    "runs.logs": lambda who: runs.logs(who, "theirs"),
    "runs.cancel": lambda who: runs.cancel(who, "theirs"),
    "restores.plan": lambda who: restores.plan(who, RESTORE),
    "restores.plan into": lambda who: restores.plan(who, RESTORE_INTO),
    "restores.plan elsewhere": lambda who: restores.plan(who, RESTORE_ELSEWHERE),
    "restores.start": lambda who: restores.start(who, RESTORE),
    "restores.start into": lambda who: restores.start(who, RESTORE_INTO),
    "restores.start elsewhere": lambda who: restores.start(who, RESTORE_ELSEWHERE),
    "restores.follow": lambda who: restores.follow(who, "theirs into ours"),
    "restores.follow into": lambda who: restores.follow(who, "ours into theirs"),
    "restores.follow elsewhere": lambda who: restores.follow(who, "ours into somewhere"),
    "restores.follow of nobody": lambda who: restores.follow(who, "whose into ours"),
    "integrity.start": lambda who: integrity.start(who, IntegritySpec(backup="theirs", storages=(NAS,))),
    "integrity.start everything": lambda who: integrity.start(who, IntegritySpec(storages=(NAS,))),
    "integrity.start whatever is there": lambda who: integrity.start(who, IntegritySpec(backup="ours/latest")),
    "integrity.follow": lambda who: integrity.follow(who, "theirs"),
    "integrity.follow everything": lambda who: integrity.follow(who, "everything"),
    "integrity.follow whatever was there": lambda who: integrity.follow(who, "latest"),
    "integrity.past": integrity.past,
    "inventory.detail": lambda who: inventory.detail(who, "theirs"),
    "downloads.download": lambda who: downloads.download(who, Choice("latest", NAS)),
    "backups.show": lambda who: backups.show(who, "latest"),
    "backups.show there": lambda who: backups.show(who, "latest", NAS),
    "backups.locate": lambda who: backups.locate(who, "latest", NAS),
    "backups.delete": lambda who: backups.delete(who, "latest", NAS),
    "backups.set_lock": lambda who: backups.set_lock(who, "latest", NAS, locked=False),
    "backups.rebuild_catalog": lambda who: backups.rebuild_catalog(who, [NAS]),
    "backups.clean": lambda who: backups.clean(who, NAS, dry_run=True),
    "backups.foreign": lambda who: backups.foreign(who, NAS),
    "unfinished.found": lambda who: unfinished.found(who, THEIRS),
    "unfinished.remove": lambda who: unfinished.remove(who, THEIRS, ["shop"]),
    "retention.prune": lambda who: retention.prune(who, JOB, dry_run=True),
    "retention.preview": lambda who: retention.preview(who, JOB),
}
ABSENT: dict[str, Callable[[Identity], object]] = {
    "a job": lambda who: jobs.get(who, "absent"),
    "a run": lambda who: runs.show(who, "absent"),
    "a restore": lambda who: restores.follow(who, "absent"),
    "a check": lambda who: integrity.follow(who, "absent"),
    "a backup": lambda who: inventory.detail(who, "absent"),
    "a backup in the catalog": lambda who: backups.show(who, "absent"),
    "a backup on a storage": lambda who: backups.show(who, "absent", NAS),
    "a backup to download": lambda who: downloads.download(who, Choice("absent", NAS)),
    "a backup to delete": lambda who: backups.locate(who, "absent", NAS),
    "a backup to restore": lambda who: restores.plan(who, RESTORE.model_copy(update={"backup": "absent"})),
}
NAMELESS = {
    *("queue.queue", "jobs.preview"),  # workers, and the times of a schedule: no job and no source
    *("integrity.schedule", "forms.source_forms"),  # when everything is checked, and forms that are empty
}
LISTS = {
    "saved.sources",
    "jobs.everything",
    "jobs.last_runs",
    "overview.everything",
    "overview.history",
    "backups.in_catalog",
    "backups.on_storage",
    "inventory.search",
    "inventory.choices",
    "integrity.health",
    "integrity.checks",
    "restores.targets",
    "runs.at_hand",
    "runs.ended",
}


@dataclass(frozen=True)
class Found:
    readable: tuple[JobSpec, ...]
    unreadable: tuple[object, ...]
    timetables: Mapping[str, object] = field(default_factory=dict)


class Shelf:
    """An inventory that answers about our own source only, and fails where it is asked about more."""

    def search(self, wanted: Wanted, **page: int) -> list[str]:
        return self.jobs(wanted.sources)

    def count(self, wanted: Wanted) -> int:
        return len(self.jobs(wanted.sources))

    def jobs(self, sources: frozenset[str] | None) -> list[str]:
        assert sources == {"shop"}
        return ["ours"]

    def storages(self, sources: frozenset[str] | None) -> list[str]:
        return self.jobs(sources)

    def checks(self, sources: frozenset[str] | None, **page: int) -> list[str]:
        return self.jobs(sources)

    def copies(self, sources: frozenset[str] | None) -> int:
        return len(self.jobs(sources))

    def health(self, sources: frozenset[str] | None) -> Health:
        return Health(len(self.jobs(sources)), 0, 0)

    def get(self, backup_id: str) -> Any:
        source = {"ours": "shop", "theirs": "crm"}.get(backup_id)
        return SimpleNamespace(source=source) if source else None


def resolve(_storage: object, reference: str) -> Any:
    """``ours`` is a backup of ours, whatever else there is somebody else's."""
    if reference == "absent":
        raise BackupNotFound("there is no complete backup absent")
    source = SimpleNamespace(name="shop" if reference == "ours" else "crm")
    manifest = SimpleNamespace(source=source, backup_id=f"the id of {reference}")
    return SimpleNamespace(manifest=manifest, storages=(), locked=False)


def run(reference: str, kind: str = "backup") -> Run:
    """``ours`` is a run of ours, ``theirs`` one of somebody else, and of ``whose`` nobody knows the source."""
    source = {"whose": "", "theirs": "crm"}.get(reference, "shop")
    return Run(reference, kind, "nightly", RunState.RUNNING, source=source)


def find(reference: str, within: frozenset[str] | None = None) -> Run:
    """The run of this name, if it is within."""
    found = run(reference)
    if reference == "absent" or not found.is_within(within):
        raise NotFound(f"there is no run {reference}")
    return found


def requested(reference: str, kind: str) -> Any:
    """A restore or a check. ``a into b`` is a restore of a's backup into b's source."""
    if reference == "absent":
        raise NotFound("there is no run absent")
    backup, _, into = reference.partition(" into ")
    wish: dict[str, str] = {} if reference == "everything" else {"backup": backup}
    found = run(backup, kind)
    if kind == "restore":
        target = {"ours": "shop", "theirs": "crm"}.get(into, "")
        wish |= {"storage": "nas", "target": target or "sealed elsewhere"}
        found = replace(found, target=target)
    return SimpleNamespace(run=found, parameters={"wish": wish}, report=None)


def job_of(name: str) -> JobSpec:
    if name == "absent":
        raise NotFound("there is no job absent")
    return JOB if name == "nightly" else JOB.model_copy(update={"source": OURS, "name": "ours"})


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch, book: Book) -> None:
    """A job, a backup and a source of somebody else, and one of each of our own."""
    monkeypatch.setattr(deployments.jobs, "get", job_of)
    monkeypatch.setattr(deployments.jobs, "everything", lambda: Found((JOB, job_of("ours")), (object(),)))
    monkeypatch.setattr(deployments.runs, "find", find)
    monkeypatch.setattr(deployments.requests, "look", requested)
    monkeypatch.setattr(actions.backups.stored, "resolve", resolve)
    for module in (actions.backups, runs, restores, downloads):
        monkeypatch.setattr(module, "open_storage", lambda _: SimpleNamespace())
    for module in (inventory, integrity):
        monkeypatch.setattr(module, "inventory", Shelf)
    catalog = SimpleNamespace(find=partial(resolve, None), backups=lambda limit, job: [1, 2, 3])
    monkeypatch.setattr(actions.backups, "catalog", lambda: catalog)
    listed = [saved.Saved("crm", "", ""), saved.Saved("shop", "", "")]
    monkeypatch.setattr(actions.saved, "_listed", lambda _: listed)


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_nothing_is_done_to_another_source(attempt: Callable[[Identity], object], book: Book) -> None:
    with pytest.raises(PermissionError, match="some sources only") as refused:
        attempt(LIMITED)
    assert refused.value.hint
    assert [entry.result for entry in book.entries] == ["refused"]


@pytest.mark.parametrize("attempt", ABSENT.values(), ids=ABSENT)
def test_what_does_not_exist_is_refused_like_what_is_somebody_elses(
    attempt: Callable[[Identity], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "open_source", lambda _: None)
    monkeypatch.setattr(restores, "keyring", dict)
    monkeypatch.setattr(actions.backups.stored, "find", lambda at, reference, **_: resolve(at, reference))
    with pytest.raises(PermissionError, match="some sources only"):
        attempt(LIMITED)
    with pytest.raises((NotFound, BackupNotFound)):
        attempt(LOCAL_ADMINISTRATOR)


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
    record = SimpleNamespace(newest_of_each_job=lambda _, within: dict.fromkeys(within))
    monkeypatch.setattr(jobs, "executions", lambda: record)
    assert set(jobs.last_runs(LIMITED)) == {"shop"}
    monkeypatch.setattr(overview.overview, "lines", lambda specs, _, within: [*(spec.name for spec in specs), *within])
    sums = SimpleNamespace(by_day=lambda _: {"a day": "of all"}, by_storage=lambda: {"nas": "of all"})
    monkeypatch.setattr(overview, "inventory", lambda: sums)
    monkeypatch.setattr(overview, "executions", lambda: sums)
    seen = overview.everything(LIMITED)
    assert (seen.lines, seen.unreadable, seen.stored, seen.today.number) == (("ours", "shop"), (), {}, 0)
    assert overview.history(LIMITED) == overview.History({}, {})
    rows = [Row(str(n), "", source, "", None, 0, 0, None, (), False) for n, source in enumerate(["crm", "shop", ""])]
    assert [row.source for row in backups._visible(LIMITED, rows)] == ["shop"]


def test_lists_of_what_is_stored_ask_for_ones_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = inventory.search(LIMITED, Wanted(sources=frozenset({"crm"})))
    assert (found.rows, found.total) == (("ours",), 1)
    assert inventory.choices(LIMITED) == inventory.Choices(("ours",), ("ours",))
    assert integrity.health(LIMITED).copies == 1
    assert integrity.checks(LIMITED) == integrity.Checks(("ours",), 1)
    monkeypatch.setattr(blocks.saved, "everything", lambda _: {"crm": None, "shop": None})
    assert restores.targets(LIMITED) == ["shop"]


def test_lists_of_runs_hold_ones_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    everybodys = tuple(map(run, ("theirs", "ours", "whose")))
    monkeypatch.setattr(deployments.runs, "at_hand", lambda: everybodys)
    assert [one.run_id for one in runs.at_hand(LIMITED)] == ["ours"]
    assert runs.at_hand(LOCAL_ADMINISTRATOR) == everybodys
    asked: list[frozenset[str] | None] = []

    def ended(wanted: WantedRuns, **page: int) -> RunPage:
        asked.append(wanted.within)
        return RunPage((), 0)

    monkeypatch.setattr(deployments.runs, "ended", ended)
    for wanted in (WantedRuns(), WantedRuns(source="crm"), WantedRuns(within=frozenset({"crm"}))):
        runs.ended(LIMITED, wanted)
    assert asked == [{"shop"}] * 3


@pytest.mark.parametrize(
    ("kind", "source", "target", "seen"),
    [
        ("backup", "shop", "", True),
        ("backup", "", "", False),
        ("backup", "crm", "", False),
        ("restore", "shop", "shop", True),
        ("restore", "shop", "crm", False),
        ("restore", "crm", "shop", False),
        ("restore", "shop", "", False),
        ("restore", "", "shop", False),
        ("janitor", "", "", False),
    ],
)
def test_a_run_is_ones_own_if_everything_that_it_touches_is(kind: str, source: str, target: str, seen: bool) -> None:
    one = Run("1", kind, "nightly", RunState.SUCCESS, source=source, target=target)
    assert one.is_within(frozenset({"shop"})) is seen
    assert one.is_within(frozenset({"shop", ""})) is seen
    assert one.is_within(None)


def test_a_restore_that_waits_is_of_the_backup_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its reference means may be somebody else's when its turn comes."""
    put: list[RestoreSpec] = []
    monkeypatch.setattr(deployments.requests, "put_restore", put.append)
    restores.start(LIMITED, RESTORE.model_copy(update={"backup": "ours"}))
    assert [wish.backup for wish in put] == ["the id of ours"]


def test_what_is_followed_is_of_its_own_kind() -> None:
    """Another's wish does not fit, and the complaint about that would show it."""
    flow = SimpleNamespace(name="restore")
    client: Any = SimpleNamespace(read_flow_run=lambda _: SimpleNamespace(flow_id=1), read_flow=lambda _: flow)
    some = str(UUID(int=1))
    assert deployments.requests._require(client, some, "restore").flow_id == 1
    for reference, kind in ((some, "integrity"), ("no id", "restore")):
        with pytest.raises(NotFound):
            deployments.requests._require(client, reference, kind)


def test_what_is_ones_own_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs.get(LIMITED, "ours").source == OURS
    assert backups.show(LIMITED, "ours").manifest.source.name == "shop"
    assert restores.follow(LIMITED, "ours into ours").wish.target == OURS
    assert integrity.follow(LIMITED, "ours").report is None
    monkeypatch.setattr(deployments.requests, "put_integrity", lambda wish: wish.backup)
    assert integrity.start(LIMITED, IntegritySpec(backup="ours")) == "ours"
    monkeypatch.setattr(deployments.runs, "logs", lambda found, since: (found.run_id,))
    assert runs.logs(LIMITED, "ours") == ("ours",)
