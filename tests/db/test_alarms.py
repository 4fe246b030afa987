"""Who was told of an alarm is remembered until it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db.alarms import Alarms
from db.session import Database

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def test_what_was_told_last_is_known_until_it_is_over(database: Database) -> None:
    alarms = Alarms(database)
    for moment in (NOW, NOW + timedelta(days=1)):
        alarms.told("shop", "ops", moment)
    alarms.told("shop", "chat", NOW)
    assert alarms.of_job("shop") == {"ops": NOW + timedelta(days=1), "chat": NOW}
    alarms.over("shop", "ops")
    assert alarms.of_job("shop") == {"chat": NOW}


def test_a_job_that_is_gone_is_forgotten(database: Database) -> None:
    alarms = Alarms(database)
    for job in ("shop", "gone"):
        alarms.told(job, "ops", NOW)
    alarms.keep_only(["shop"])
    assert (len(alarms.of_job("shop")), alarms.of_job("gone")) == (1, {})
    alarms.keep_only([])
    assert alarms.of_job("shop") == {}
