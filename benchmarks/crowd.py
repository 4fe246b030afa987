"""A system that has grown for a year: jobs, runs and backups in numbers that few have, written in bulk.

The rows are like those that real runs leave, manifests and reports included; no backup lies behind them.
"""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import insert, text

from actions import jobs, keys, saved, users
from actions.door import LOCAL_ADMINISTRATOR
from core.compression import Algorithm
from core.jobs import Address, JobSpec
from core.manifest import Manifest, ManifestFile, SourceDescription
from core.naming import backup_folder, job_slug
from core.reports import BackupReport, StoredCopy
from core.settings import settings
from core.states import RunState
from db.models import BackupRow, ExecutionRow, LocationRow, Standing, Table, VerificationRow
from deployments.client import prefect_client
from deployments.jobs import deployment
from services.accounts.users import NewUser
from services.backups import saved_job
from services.records import database

ADMINISTRATOR, PASSWORD = "ada", "correct horse battery staple"
STORAGES = ("attic", "nas", "cloud")
DAYS, AT_ONCE = 400, 2000
CHECKED = 4  # of so many backups one was checked again
STATES = [RunState.SUCCESS] * 40 + [RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED]
Row = Mapping[str, object]


@dataclass(frozen=True)
class Size:
    """How many there are of each."""

    jobs: int = 1000
    runs: int = 100_000
    backups: int = 100_000
    sources: int = 40


@dataclass(frozen=True)
class Job:
    """One job, as its backups name it."""

    name: str
    slug: str
    source: str


def fill(folder: Path, size: Size) -> None:
    """Fill the home of this process, whose system runs. ``folder`` is for what sources and storages name."""
    users.create(LOCAL_ADMINISTRATOR, NewUser(ADMINISTRATOR, SecretStr(PASSWORD), groups=("Administrators",)))
    keys.create(LOCAL_ADMINISTRATOR, "production")
    for name in STORAGES:
        (folder / name).mkdir()
        saved.add_storage(LOCAL_ADMINISTRATOR, name, f"file://{folder / name}")
    sources = [f"shop-{number:02}" for number in range(size.sources)]
    for name in sources:
        saved.add_source(LOCAL_ADMINISTRATOR, name, f"sqlite://{folder}/{name}.db")
    names = [f"nightly-{number:04}" for number in range(size.jobs)]
    found = [_job(name, sources[number % len(sources)]) for number, name in enumerate(names)]
    _save_jobs(found)
    chance = random.Random(7)  # every run of the benchmark is to see the same
    _write_backups(found, size.backups, chance)
    _write(ExecutionRow, _runs(found, size.runs, chance))
    _take_statistics()


def is_filled() -> bool:
    """Whether the home of this process has been filled before."""
    return bool(users.count(LOCAL_ADMINISTRATOR, search=ADMINISTRATOR))


def _job(name: str, source: str) -> Job:
    reference = saved_job(name)
    return Job(name, job_slug(reference.name, reference.id), source)


def _save_jobs(wanted: list[Job]) -> None:
    """The first one is saved as people save jobs. The others are made like it in the database of the embedded server:
    a thousand requests would take longer than everything else here."""
    first = _spec(wanted[0])
    jobs.create(LOCAL_ADMINISTRATOR, first, "0 3 * * *")
    with prefect_client() as client:
        like = deployment(client, first.name).id.hex
    path = settings().home / "prefect" / "prefect.db"
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        connection.row_factory = sqlite3.Row
        find = "SELECT * FROM {} WHERE replace({}, '-', '') = ?"
        saved_one = dict(connection.execute(find.format("deployment", "id"), [like]).fetchone())
        schedule = dict(connection.execute(find.format("deployment_schedule", "deployment_id"), [like]).fetchone())
        for one in wanted[1:]:
            own = {"id": str(uuid.uuid4()), "name": one.name}
            parameters = json.dumps({"job": _spec(one).model_dump(mode="json"), "trigger": "schedule"})
            _insert(connection, "deployment", {**saved_one, **own, "parameters": parameters})
            own = {"id": str(uuid.uuid4()), "deployment_id": own["id"]}
            _insert(connection, "deployment_schedule", {**schedule, **own})


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()])


def _spec(one: Job) -> JobSpec:
    return JobSpec(
        source=Address(one.source), destinations=tuple(map(Address, STORAGES)), name=one.name, profile="production",
        overdue_after=26,
    )  # fmt: skip


def _moments(number: int, of: int, chance: random.Random) -> Iterator[datetime]:
    """Moments over the last year and more, each job's as far apart as the others'."""
    now = datetime.now(UTC).replace(microsecond=0)
    for count in range(number):
        yield now - timedelta(days=DAYS * (count // of) * of / number, seconds=chance.randrange(60, 3600))


def _write_backups(wanted: list[Job], number: int, chance: random.Random) -> None:
    moments = enumerate(_moments(number, len(wanted), chance))
    while some := list(islice(moments, AT_ONCE)):
        made = [(count, _manifest(wanted[count % len(wanted)], moment, chance)) for count, moment in some]
        _write(BackupRow, (_backup(wanted[count % len(wanted)], one) for count, one in made))
        copies = [
            (count, one, storage, wanted[count % len(wanted)].slug)
            for count, one in made
            for storage in STORAGES[: 2 + count % 2]
        ]
        _write(LocationRow, (_copy(count, one, storage, slug) for count, one, storage, slug in copies))
        _write(
            VerificationRow, (_check(count, one, storage) for count, one, storage, _ in copies if not count % CHECKED)
        )


def _manifest(one: Job, moment: datetime, chance: random.Random) -> Manifest:
    size = 50_000_000 + chance.randrange(10_000_000)
    file = ManifestFile(
        name="shop.db.zst", database="shop", kind="database", dump_format="sqlite", compression=Algorithm.ZSTD,
        size=size, sha256="0" * 64, dump_size=size * 3,
    )  # fmt: skip
    return Manifest(
        backup_id=f"{moment:%Y%m%dT%H%M%SZ}-{chance.randrange(1 << 24):06x}",
        job=saved_job(one.name),
        source=SourceDescription(name=one.source, engine="sqlite", server_version="3.40", tool="sqlite"),
        trigger="schedule",
        started_at=moment,
        finished_at=moment + timedelta(seconds=40),
        files=(file,),
    )


def _backup(one: Job, manifest: Manifest) -> Row:
    return {
        "backup_id": manifest.backup_id, "job_name": one.name, "job_slug": one.slug,
        "started_at": manifest.started_at, "manifest": manifest.to_bytes(), "source": one.source, "engine": "sqlite",
        "profile": "production", "size": manifest.files[0].size, "dump_size": manifest.files[0].dump_size,
        "complete": True,
    }  # fmt: skip


def _copy(count: int, manifest: Manifest, storage: str, slug: str) -> Row:
    check = _check(count, manifest, storage) if not count % CHECKED else {}
    found = Standing.UNCHECKED if not check else Standing.PASSED if check["passed"] else Standing.FAILED
    return {
        "backup_id": manifest.backup_id, "storage": storage, "folder": backup_folder(slug, manifest.backup_id),
        "locked": not count % 500, "standing": found.value, "checked_at": check.get("moment"),
        "check_method": check.get("method", ""), "check_detail": check.get("detail", ""),
        "size": manifest.files[0].size,
    }  # fmt: skip


def _check(count: int, manifest: Manifest, storage: str) -> Row:
    torn = not count % 9000
    return {
        "backup_id": manifest.backup_id, "storage": storage, "moment": manifest.started_at + timedelta(days=1),
        "method": "read back", "passed": not torn, "detail": "torn" if torn else "",
    }  # fmt: skip


def _runs(wanted: list[Job], number: int, chance: random.Random) -> Iterator[Row]:
    for count, moment in enumerate(_moments(number, len(wanted), chance)):
        one, state = wanted[count % len(wanted)], chance.choice(STATES)
        restores = not count % 97
        report = _report(_manifest(one, moment, chance), one.slug, state)
        yield {
            "execution_id": str(uuid.UUID(int=chance.getrandbits(128))), "kind": "restore" if restores else "backup",
            "job_name": one.name, "source": one.source, "target": one.source if restores else "",
            "flow_run_id": str(uuid.UUID(int=chance.getrandbits(128))), "state": state.value, "created_at": moment,
            "started_at": moment, "finished_at": moment + timedelta(seconds=40), "summary": report.summary,
            "error": "" if state is RunState.SUCCESS else "nas: the disk is full", "report": report.model_dump_json(),
        }  # fmt: skip


def _report(manifest: Manifest, slug: str, state: RunState) -> BackupReport:
    return BackupReport(
        state=state,
        backup_id=manifest.backup_id,
        job=manifest.job.name,
        folder=backup_folder(slug, manifest.backup_id),
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        files=manifest.files,
        copies=tuple(StoredCopy(storage=storage, complete=True, checked="read back") for storage in STORAGES),
    )


def _write(table: type[Table], rows: Iterator[Row]) -> None:
    while some := list(islice(rows, AT_ONCE)):
        with database().session() as session:
            session.execute(insert(table), some)


def _take_statistics() -> None:
    """What autovacuum does within a minute on any server of PostgreSQL but that of the tests, where it is off."""
    with database().session() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("ANALYZE"))
