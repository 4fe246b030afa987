"""Who is told of a run, and that telling changes nothing about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from core import naming
from core.errors import DBackupError, RunFailed
from core.events import Event
from core.jobs import IntegritySpec, NotifyRule, RestoreSpec
from core.reports import BackupReport, HealReport
from core.states import RunState
from flows.backup import backup
from flows.heal import heal
from flows.integrity import integrity
from flows.restore import restore
from services.records import executions
from tests.disks import read_only
from tests.flows.shop import job, rows
from tests.servers.certificates import Certificates
from tests.servers.webhooks import CHECK, TOKEN, WEBHOOK, Answer, Webhooks, shown

PASSWORD = "Pa55-of-a-source"


@pytest.fixture
def ops(discord: Webhooks, certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[str]:
    """A saved channel, whose messages arrive at ``discord``."""
    name = f"ops-{abs(hash(request.node.name)) % 10**8}"
    url = f"https://localhost:{discord.port}/api/webhooks/{WEBHOOK}/{TOKEN}?ca_file={certificates.authority}"
    saved.add_channel(LOCAL_ADMINISTRATOR, name, url)
    yield name
    saved.remove_channel(LOCAL_ADMINISTRATOR, name)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.notifications.PAUSES", (0.0,))


def told(discord: Webhooks) -> list[str]:
    """The messages that arrived, as text."""
    return [shown(message) for message in discord.taken]


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_a_success_is_told_to_who_wants_to_hear_of_it(ops: str, discord: Webhooks, shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "b", name="nightly", notify=[f"{ops}:success"]))
    (text,) = told(discord)
    for fact in ("Backup of nightly succeeded", "SUCCESS", str(shop), report.backup_id, "stored", "read back"):
        assert fact in text, fact
    assert [(one.channel, one.event, one.delivered) for one in report.notifications] == [(ops, Event.SUCCESS, True)]


def test_a_success_is_not_told_to_who_waits_for_failures(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    report = backup(job(shop, tmp_path / "b", notify=[ops]))
    assert (report.notifications, discord.requests) == ((), 0)


def test_what_stays_owed_and_retention_that_stops_are_told_although_the_backup_succeeds(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    wish = job(shop, tmp_path / "near", tmp_path / "far", name=f"also-{tmp_path.name}", keep="last=9")
    with read_only(made(tmp_path / "far")), pytest.raises(RunFailed):
        backup(wish)
    (manifest,) = (tmp_path / "near").rglob(naming.MANIFEST)
    manifest.write_bytes(b"{}")
    report = backup(wish.model_copy(update={"notify": (NotifyRule(ops),)}))
    assert report.state is RunState.SUCCESS
    (text,) = told(discord)
    assert "succeeded, but something else is wrong" in text
    for fact in (f"retention on {tmp_path}/near: ", f"{manifest.parent.name} on {tmp_path}/far: "):
        assert fact in text, fact
    recorded = executions().recent(1)[0]
    assert recorded.summary.endswith("something else is wrong")
    assert BackupReport.model_validate_json(recorded.report or "").also_wrong == report.also_wrong


def test_healing_by_itself_tells_what_stays_owed_and_nothing_when_all_is_paid(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    wish = job(shop, tmp_path / "near", tmp_path / "far", name=f"heal-{tmp_path.name}")
    with read_only(made(tmp_path / "far")), pytest.raises(RunFailed):
        backup(wish)
    told_of = wish.model_copy(update={"notify": (NotifyRule(ops),)})
    with read_only(tmp_path / "far"), pytest.raises(RunFailed) as caught:
        heal(told_of)
    (text,) = told(discord)
    assert f"Healing of {wish.name} failed" in text
    assert f"on {tmp_path}/far" in text
    assert isinstance(caught.value.report, HealReport)
    assert caught.value.report.notifications[0].delivered
    assert heal(told_of).state is RunState.SUCCESS
    assert len(told(discord)) == 1


def test_a_partial_backup_is_told_with_its_reason(ops: str, discord: Webhooks, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        backup(job(shop, tmp_path / "b", "file:///proc/nothing", notify=[ops]))
    (text,) = told(discord)
    assert "is partial" in text
    assert "the folder /proc/nothing does not exist" in text
    assert failure.value.report.state is RunState.PARTIAL
    assert failure.value.report.notifications[0].delivered


def test_a_source_that_cannot_be_reached_is_told_without_its_password(
    ops: str, discord: Webhooks, tmp_path: Path
) -> None:
    source = f"postgresql://backup:{PASSWORD}@127.0.0.1:1/shop"
    with pytest.raises(DBackupError):
        backup(job(source, tmp_path / "b", name="nightly", notify=[ops]))
    (text,) = told(discord)
    for fact in ("Backup of nightly failed", "cannot be reached", "FAILED", "shop on 127.0.0.1:1"):
        assert fact in text, fact
    assert PASSWORD not in str(discord.taken)


def test_a_channel_that_fails_changes_nothing_and_is_reported(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    discord.next.append(Answer(404, {"message": "Unknown Webhook"}))
    report = backup(job(shop, tmp_path / "b", notify=[f"{ops}:success"]))
    assert report.state is RunState.SUCCESS
    (delivery,) = report.notifications
    assert not delivery.delivered
    assert "Unknown Webhook" in delivery.reason
    assert delivery.hint
    recorded = executions().recent(1)[0]
    assert recorded.state is RunState.SUCCESS
    assert "Unknown Webhook" in str(recorded.report)
    assert TOKEN not in str(recorded.report)


def test_a_channel_that_fails_for_a_moment_is_tried_again(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    discord.next.append(Answer(500))
    report = backup(job(shop, tmp_path / "b", notify=[f"{ops}:success"]))
    assert report.notifications[0].delivered
    assert len(discord.taken) == 1


def test_a_channel_that_is_not_saved_changes_nothing_and_keeps_no_other_from_being_told(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    report = backup(job(shop, tmp_path / "b", notify=["nobody:success", f"{ops}:success"]))
    assert report.state is RunState.SUCCESS
    assert [(one.channel, one.delivered) for one in report.notifications] == [("nobody", False), (ops, True)]
    assert "no notification named nobody" in report.notifications[0].reason


def test_a_failure_that_nobody_could_be_told_of_says_so_in_the_record(
    ops: str, discord: Webhooks, tmp_path: Path
) -> None:
    discord.next.append(Answer(404, {"message": "Unknown Webhook"}))
    with pytest.raises(DBackupError) as failure:
        backup(job(tmp_path / "missing.db", tmp_path / "b", notify=[ops]))
    assert "missing.db" in failure.value.message
    recorded = executions().recent(1)[0]
    assert recorded.state is RunState.FAILED
    assert f"{ops} was not told: Discord does not know this webhook" in recorded.error


def test_a_fault_in_telling_makes_no_failure_of_a_good_backup(
    ops: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("services.notifications.of_backup", broken)
    report = backup(job(shop, tmp_path / "b", notify=[f"{ops}:success"]))
    assert report.state is RunState.SUCCESS
    assert [(one.delivered, "ZeroDivisionError" in one.reason) for one in report.notifications] == [(False, True)]


def test_an_unforeseen_end_is_told_too(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("services.backups.items", broken)
    with pytest.raises(DBackupError):
        backup(job(shop, tmp_path / "b", notify=[ops]))
    assert "unexpected ZeroDivisionError" in told(discord)[0]


def test_a_restore_is_told_and_so_is_one_that_fails(ops: str, discord: Webhooks, shop: Path, tmp_path: Path) -> None:
    taken = backup(job(shop, tmp_path / "b"))
    wish = {
        "backup": taken.backup_id,
        "storage": f"file://{tmp_path / 'b'}",
        "target": f"sqlite://{tmp_path / 'back.db'}",
        "notify": [f"{ops}:restored,failure"],
    }
    report = restore(RestoreSpec.model_validate(wish))
    assert [one.delivered for one in report.notifications] == [True]
    assert rows(tmp_path / "back.db") == rows(shop)
    with pytest.raises(DBackupError):  # it exists now
        restore(RestoreSpec.model_validate(wish))
    good, bad = told(discord)
    assert f"Restore of {taken.backup_id} succeeded" in good
    assert str(tmp_path / "back.db") in good
    assert f"Restore of {taken.backup_id} failed" in bad
    assert "exists" in bad


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
def test_a_failed_integrity_check_is_told(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    taken = backup(job(shop, tmp_path / "b"))
    damage(tmp_path / "b" / taken.folder / taken.files[0].name)
    wish = IntegritySpec.model_validate({"storages": [f"file://{tmp_path / 'b'}"], "notify": [ops]})
    with pytest.raises(RunFailed) as failure:
        integrity(wish)
    assert failure.value.report.notifications[0].event is Event.INTEGRITY
    assert "Integrity check of every backup failed" in told(discord)[0]
    assert taken.backup_id in told(discord)[0]


@pytest.fixture
def check(healthchecks: Webhooks, request: pytest.FixtureRequest) -> Iterator[str]:
    """A saved dead man's switch, whose pings arrive at ``healthchecks``."""
    name = f"check-{abs(hash(request.node.name)) % 10**8}"
    saved.add_channel(LOCAL_ADMINISTRATOR, name, f"ping+http://127.0.0.1:{healthchecks.port}/{CHECK}")
    yield name
    saved.remove_channel(LOCAL_ADMINISTRATOR, name)


def test_a_dead_mans_switch_hears_when_a_backup_begins_and_how_it_ends(
    check: str, healthchecks: Webhooks, shop: Path, tmp_path: Path
) -> None:
    report = backup(job(shop, tmp_path / "b", notify=[check]))
    assert [(one.event, one.delivered) for one in report.notifications] == [
        (Event.STARTED, True),
        (Event.SUCCESS, True),
    ]
    with pytest.raises(DBackupError):
        backup(job(tmp_path / "missing.db", tmp_path / "b", notify=[check]))
    paths = [called.path for called in healthchecks.taken]
    assert paths == [f"/{CHECK}/start", f"/{CHECK}", f"/{CHECK}/start", f"/{CHECK}/fail"]
    assert "missing.db" in healthchecks.taken[-1].text


def test_any_channel_can_hear_of_a_start_and_one_that_is_away_delays_nothing(
    ops: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    discord.next.append(Answer(500))
    report = backup(job(shop, tmp_path / "b", notify=[f"{ops}:started,success"]))
    assert [(one.event, one.delivered) for one in report.notifications] == [
        (Event.STARTED, False),
        (Event.SUCCESS, True),
    ]
    assert discord.requests == 2, "a start that was missed is not told again"
