"""What an older version has written is brought up to date with what is certain, and nothing is made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import db.migrations
from db.executions import Executions, WantedRuns
from db.inventory import Health, Inventory, Sum
from db.session import Database

MOMENT = "2026-01-01 00:00:00+00:00"
BACKUP = text(
    "INSERT INTO backups (backup_id, job_name, source, job_slug, started_at, manifest)"
    " VALUES (:backup_id, :job_name, :source, :job_slug, :started_at, :manifest)"
)
RUN = text(
    "INSERT INTO executions (execution_id, kind, job_name, state, created_at, summary, error, report)"
    " VALUES (:id, :kind, :job, 'SUCCESS', :at, '', '', :report)"
)
COPY = text("INSERT INTO locations (backup_id, storage, folder, locked) VALUES (:backup_id, 'disk', 'f', false)")
CHECK = text(
    "INSERT INTO verifications (backup_id, storage, moment, method, passed, detail)"
    " VALUES (:backup_id, :storage, :at, 'read back', :passed, :detail)"
)
BACKUPS = [("b1", "nightly", "shop"), ("b2", "nightly", "shop"), ("b3", "mixed", "shop"), ("b4", "mixed", "crm")]
RUNS = {
    "a backup, by its report": ("backup", "mixed", "b4", "crm"),
    "a failed run of a job with backups of one source": ("backup", "nightly", "", "shop"),
    "a failed run of a job with backups of two sources": ("backup", "mixed", "", ""),
    "a run whose backups are gone": ("backup", "gone", "b9", ""),
    "what healed a job": ("heal", "nightly", "", "shop"),
    "a restore, by its report": ("restore", "nightly", "b4", "crm"),
    "a restore that was called after its backup": ("restore", "b1", "", "shop"),
    "a restore of the latest": ("restore", "latest", "", ""),
    "a check of one backup": ("integrity", "b4", "", "crm"),
    "a check of everything": ("integrity", "every backup", "", ""),
    "a run of the janitor, called like a job": ("janitor", "nightly", "", ""),
    "a backup of an address": ("backup", "by-hand", "b5", ""),
}


@pytest.fixture
def migrated() -> Callable[[Connection, str], None]:
    """What takes a database to any migration."""
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(db.migrations.__file__).parent))

    def go(connection: Connection, revision: str) -> None:
        scripts.attributes["connection"] = connection
        (command.downgrade if revision != "head" else command.upgrade)(scripts, revision)

    return go


def test_runs_of_the_past_are_given_their_source_only_where_it_is_certain(
    database: Database, migrated: Callable[[Connection, str], None]
) -> None:
    values = {"job_slug": "j", "started_at": MOMENT, "manifest": b"{}"}
    with database.engine.begin() as connection:
        migrated(connection, "0005")
        for backup, job, source in [*BACKUPS, ("b5", "by-hand", "/srv/shop.db")]:
            row = {"backup_id": backup, "job_name": job, "source": source, **values}
            connection.execute(BACKUP, row)
        for number, (kind, job, backup, _) in enumerate(RUNS.values()):
            report = json.dumps({"backup_id": backup}) if backup else "damaged" if number % 2 else None
            connection.execute(RUN, {"id": str(number), "kind": kind, "job": job, "at": MOMENT, "report": report})
        migrated(connection, "head")
    found = {one.execution_id: one for one in Executions(database).search(WantedRuns(), limit=99)}
    assert {name: found[str(number)].source for number, name in enumerate(RUNS)} == {
        name: source for name, (*_, source) in RUNS.items()
    }
    assert {one.target for one in found.values()} == {""}


def test_copies_keep_their_size_and_the_newest_of_the_checks_that_were_made_before(
    database: Database, migrated: Callable[[Connection, str], None]
) -> None:
    checks = [
        ("b1", "disk", False, "torn"),
        ("b1", "disk", True, ""),
        ("b2", "disk", True, ""),
        ("b2", "disk", False, "cut"),
    ]
    backup = {"job_name": "j", "source": "shop", "job_slug": "j", "started_at": MOMENT, "manifest": b"{}"}
    with database.engine.begin() as connection:
        migrated(connection, "0007")
        for one in ("b1", "b2", "b3"):
            connection.execute(BACKUP, {"backup_id": one, **backup})
            connection.execute(text("UPDATE backups SET size = 10"))
            connection.execute(COPY, {"backup_id": one})
        for one, storage, passed, detail in [*checks, ("b3", "attic", True, "")]:
            values = {"backup_id": one, "storage": storage, "at": MOMENT, "passed": passed, "detail": detail}
            connection.execute(CHECK, values)
        migrated(connection, "head")
    inventory = Inventory(database)
    found = [(one.backup_id, one.copy.passed, one.copy.method, one.copy.detail) for one in inventory.checks(limit=9)]
    assert found == [("b2", False, "read back", "cut"), ("b3", None, "", ""), ("b1", True, "read back", "")]
    assert inventory.health() == Health(copies=3, passed=1, failed=1)
    assert all(one.copy.checked_at is None or one.copy.checked_at.tzinfo for one in inventory.checks(limit=9))
    assert inventory.by_storage() == {"disk": Sum(3, 30)}
    with database.engine.begin() as connection:
        migrated(connection, "0007")
        migrated(connection, "head")
    assert inventory.health() == Health(copies=3, passed=1, failed=1), "nothing is lost on the way back"
