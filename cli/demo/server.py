"""The demonstration with a real PostgreSQL server: restored into a new database, which is dropped afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from rich.table import Table

from cli import render
from cli.demo import stage
from cli.output import Output, WrongUsage
from core.errors import AdapterError
from core.reports import BackupReport

SOURCE = "demo-source"
_LONGEST = 63  # bytes of a name in PostgreSQL
_NOT_LIBPQ = ("client_path",)  # options that only this program knows


def show(out: Output, place: Path, url: str) -> None:
    """Do all of it, and tell. Raises DBackupError when the comparison, or anything before it, fails."""
    copy = _new_name(_database(url))
    stage.prepare(out, place, SOURCE, url)
    backup = stage.back_up(out, SOURCE)
    verified = stage.verify(out, backup.report.backup_id)
    with _dropped_afterwards(out, url, copy):
        back = stage.restore(out, backup.report.backup_id, SOURCE, rename=copy)
    proof = "every table came back with exactly the rows that it had in the backup's snapshot"
    stage.summary(out, stage.Done(backup, verified, back), _table(backup.report), proof)
    again = f"restore {SOURCE}/latest --at {stage.STORAGE} --into {SOURCE} --as NEW_NAME"
    stage.farewell(out, place, [], again)


def _database(url: str) -> str:
    """The database that a URL names. Raises WrongUsage for any other address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in ("postgresql", "postgres") or not name:
        raise WrongUsage(
            "SOURCE is not the URL of a PostgreSQL database",
            hint="write SOURCE=postgresql://user:password@host:5432/database, or leave it out",
        )
    return name


def _new_name(database: str) -> str:
    suffix = f"_dbackup_demo_{secrets.token_hex(3)}"
    return database.encode()[: _LONGEST - len(suffix)].decode(errors="ignore") + suffix


@contextmanager
def _dropped_afterwards(out: Output, url: str, database: str) -> Iterator[None]:
    """However this ends, the database is gone then. Raises AdapterError when it could not be dropped."""
    try:
        yield
    finally:
        try:
            with psycopg.connect(_for_libpq(url), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(database)))
        except psycopg.Error:
            raise AdapterError(
                f"the database {database} of the demonstration could not be dropped", hint="drop it yourself"
            ) from None
    out.answer(None, render.done(f"restored as {database}, compared, and dropped again"))


def _for_libpq(url: str) -> str:
    parts = urlsplit(url)
    options = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] not in _NOT_LIBPQ]
    return urlunsplit(parts._replace(query=urlencode(options)))


def _table(report: BackupReport) -> Table:
    """The largest tables; the restore has compared each of them."""
    contents = next(file.contents for file in report.files if file.kind == "database")
    counted = sorted((contents.rows if contents else {}).items(), key=lambda one: -one[1])
    rows = [(table, f"{number:,}", render.GOOD) for table, number in counted[:10]]
    if more := counted[10:]:
        rows.append((f"and {len(more)} more", f"{sum(number for _, number in more):,}", render.GOOD))
    return render.table(("Table", "Rows", "Equal"), rows, figures=("Rows",))
