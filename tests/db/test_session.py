"""Opening the database: made when missing, brought up to date when old, refused when it cannot be used."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

import db.migrations
from core.errors import ConfigurationError
from db.models import ExecutionRow, Table
from db.session import HEAD, VERSION_TABLE, Database, open_database
from tests.disks import as_nobody
from tests.servers.postgresql import Server


def run(database: Database, statement: str) -> None:
    with database.session() as session:
        session.execute(text(statement))


def test_a_new_database_gets_every_table_as_the_models_have_it(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, Table.metadata) == []


def test_the_program_knows_its_newest_migration() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(db.migrations.__file__).parent))
    assert ScriptDirectory.from_config(configuration).get_current_head() == HEAD


def test_opening_again_keeps_what_is_there(database: Database, url: str) -> None:
    run(database, "INSERT INTO verifications VALUES (1, 'b', 's', '2026-01-01 00:00:00', 'm', true, '')")
    again = open_database(url)
    with again.session() as session:
        assert session.execute(text("SELECT count(*) FROM verifications")).scalar() == 1


def test_a_current_database_is_opened_without_alembic(database: Database, url: str) -> None:
    program = (
        "import sys; from db.session import open_database; open_database(sys.argv[1]); print('alembic' in sys.modules)"
    )
    place = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", program, url], cwd=place, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_many_may_open_a_new_database_at_once(url: str) -> None:
    failures: list[ConfigurationError] = []
    start = threading.Barrier(4)

    def opened() -> None:
        start.wait()
        try:
            open_database(url)
        except ConfigurationError as failure:
            failures.append(failure)

    openers = [threading.Thread(target=opened) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert failures == []


def test_a_database_of_a_newer_program_is_refused_and_left_alone(database: Database, url: str) -> None:
    run(database, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer") as failure:
        open_database(url)
    assert failure.value.hint
    with database.session() as session:
        assert session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"


def test_another_programs_migrations_in_the_same_database_are_not_ours(url: str) -> None:
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.execute("INSERT INTO alembic_version VALUES ('f00d')")
    else:
        with psycopg.connect(url) as server:
            server.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            server.execute("INSERT INTO alembic_version VALUES ('f00d')")
    with open_database(url).session() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar() == "f00d"


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def insert_and_fail(session: Session) -> None:
        session.execute(text("INSERT INTO verifications VALUES (1, 'b', 's', '2026-01-01 00:00:00', 'm', true, '')"))
        raise KeyError

    with pytest.raises(KeyError), database.session() as session:
        insert_and_fail(session)
    with database.session() as session:
        assert session.execute(text("SELECT count(*) FROM verifications")).scalar() == 0


def test_a_moment_without_a_zone_is_refused(database: Database) -> None:
    row = ExecutionRow(execution_id="1", kind="backup", job_name="", state="PENDING", created_at=datetime(2026, 1, 1))
    with pytest.raises(ConfigurationError, match="time zone"), database.session() as session:
        session.add(row)


# --- what cannot be used ---


@pytest.mark.parametrize("url", ["", "catalog.db", "nonsense://x", "mysql+nothing://u:hunter2@h/x"])
def test_what_is_no_url_of_a_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        open_database(url)
    assert failure.value.hint
    assert "hunter2" not in f"{failure.value} {failure.value.hint}"


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"precious notes, not a database" * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/catalog.db")
    assert (tmp_path / "catalog.db").read_bytes().startswith(b"precious notes")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/catalog.db")
    with as_nobody(), pytest.raises(ConfigurationError) as failure:
        open_database(f"sqlite:///{tmp_path}/catalog.db")
    assert "DBACKUP_HOME" in failure.value.hint


def test_a_server_that_does_not_answer_is_said_without_its_password(postgresql: Server) -> None:
    url = postgresql.url("catalog", password="wrong-hunter2")
    with pytest.raises(ConfigurationError) as failure:
        open_database(url)
    shown = f"{failure.value!r} {failure.value} {failure.value.hint} {failure.value.__cause__}"
    assert "hunter2" not in shown
    assert failure.value.__suppress_context__


# --- the file ---


def test_the_file_and_its_folder_are_private(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/home/catalog.db")
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in (tmp_path / "home").iterdir()} == {"0o600"}


def test_a_folder_of_any_name_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "100%s Ünï"
    open_database(f"sqlite:///{folder}/catalog.db")
    assert (folder / "catalog.db").exists()


def test_opening_takes_nobodys_lock_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    program = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], timeout=0)
other.execute("PRAGMA locking_mode = EXCLUSIVE")
other.execute("BEGIN EXCLUSIVE")
"""
    with open_database(url).engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM backups")
        open_database(url)
        arguments = [sys.executable, "-c", program, str(tmp_path / "catalog.db")]
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "database is locked" in ran.stderr
