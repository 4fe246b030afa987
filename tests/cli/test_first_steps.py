"""What a new user meets first: help instead of an error, and what was understood of what was typed."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from actions.backups import Shown
from adapters.database.postgresql import PostgreSQL, client
from adapters.database.postgresql.client import Client
from cli.backups import about
from cli.exits import FAILED, USAGE
from cli.watcher import shortened
from tests.cli.conftest import Dbackup
from tests.core.test_manifest import a_manifest


def printed(what: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize("group", [(), ("source",), ("job",)], ids=["all", "source", "job"])
def test_without_a_command_there_is_help_and_no_error(dbackup: Dbackup, group: tuple[str, ...]) -> None:
    answer = dbackup(*group)
    assert (answer.code, answer.out) == (USAGE, "")
    assert answer.err.startswith("Usage: dbackup")
    assert "✗" not in answer.err
    assert "see:" not in answer.err


def test_what_was_saved_is_told_without_a_secret(dbackup: Dbackup, home: Path, tmp_path: Path) -> None:
    answers = [
        dbackup("source", "add", "told-source", "postgresql://clerk:kein-wort@db.example/shop"),
        dbackup("storage", "add", "told-storage", tmp_path / "near"),
        dbackup("notification", "add", "told-channel", "apprise+ntfys://kein-wort-topic"),
    ]
    try:
        assert "PostgreSQL, shop on db.example:5432" in answers[0].out
        assert f"Local folder, {tmp_path}/near" in answers[1].out
        assert "Apprise, ntfys, by Apprise" in answers[2].out
        assert "kein-wort" not in "".join(f"{one.out}{one.err}" for one in answers)
        assert dbackup.succeeds("source", "list")["sources"][0]["kind"]
    finally:
        dbackup("source", "remove", "told-source")
        dbackup("storage", "remove", "told-storage")
        dbackup("notification", "remove", "told-channel")


def test_databases_both_named_and_excluded_are_refused_before_a_job_is_saved(dbackup: Dbackup) -> None:
    asked = ("job", "create", "both", "--source", "shop", "--to", "near", "--databases", "a", "--exclude", "b*")
    answer = dbackup(*asked)
    assert answer.code == USAGE
    assert "--exclude cannot be used: databases are both named and excluded" in answer.err


@pytest.mark.parametrize("url", ["apprise://token", "APPRISE://host/token"])
def test_a_scheme_that_names_no_service_says_how_to_name_one(dbackup: Dbackup, url: str) -> None:
    answer = dbackup("notification", "add", "wrong", url)
    assert answer.code == FAILED
    assert "write apprise+SERVICE://…" in answer.err
    assert "token" not in answer.err


def test_a_source_that_cannot_be_reached_by_its_url_is_not_looked_for_by_a_name(dbackup: Dbackup) -> None:
    answer = dbackup("source", "test", "postgresql://u:p@127.0.0.1:1/x")
    assert answer.code == FAILED
    assert "dbackup source test NAME-OR-URL" in answer.err


@pytest.mark.parametrize(("locked", "words"), [(True, "yes, so nothing deletes it"), (False, "no")])
def test_a_backup_is_shown_with_its_pin(locked: bool, words: str) -> None:
    assert f"pinned    {words}\n" in printed(about(Shown(a_manifest(), ("near",), locked)), 100)


@pytest.mark.parametrize(("seconds", "words"), [(0, "less than 1 s"), (1, "1 s"), (75, "1 min 15 s")])
def test_how_long_a_backup_took_is_told_in_whole_seconds(seconds: int, words: str) -> None:
    begun = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    manifest = a_manifest().model_copy(update={"started_at": begun, "finished_at": begun + timedelta(seconds=seconds)})
    assert f", in {words}" in printed(about(Shown(manifest, ("near",), False)), 100)


def test_a_pinned_backup_is_shown_as_pinned_from_its_destination_and_from_the_catalog(
    dbackup: Dbackup, tmp_path: Path
) -> None:
    near = tmp_path / "near"
    with closing(sqlite3.connect(tmp_path / "pinned.db")) as database:
        database.execute("CREATE TABLE orders (id)")
        database.commit()
    backup_id = dbackup.succeeds("backup", tmp_path / "pinned.db", "--to", near)["backup_id"]
    assert dbackup.succeeds("show", backup_id)["locked"] is False
    dbackup.succeeds("lock", backup_id, "--at", near)
    assert dbackup.succeeds("show", backup_id)["locked"] is True
    assert dbackup.succeeds("show", backup_id, "--at", near)["locked"] is True


def test_the_same_tools_behind_a_wrapper_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (Client(18, 6, "/usr/lib/postgresql/18/bin"), Client(15, 1, "/usr/lib/15/bin"), Client(18, 6, "/usr/bin"))
    monkeypatch.setattr(client, "installed", lambda _host: found)
    assert [tool.fact for tool in PostgreSQL.tools()] == [
        "pg_dump 18.6 in /usr/lib/postgresql/18/bin",
        "pg_dump 15.1 in /usr/lib/15/bin",
    ]


PLACES = ("near", "far-away", "offsite-storage-one", "offsite-storage-two")


@pytest.mark.parametrize("stem", ["upload shop.dump.zst → {}", "verify a-database-with-a-long-name.dump.zst on {}"])
def test_the_lines_of_several_destinations_differ_in_80_columns(stem: str) -> None:
    lines = {shortened(stem.format(place), 26) for place in PLACES}
    assert len(lines) == len(PLACES)
    assert {len(line) for line in lines} <= set(range(27))
    assert all(any(line.endswith(place[-15:]) for line in lines) for place in PLACES)
