"""SQLite files: the contract of every engine, and what only a file that others write to can do."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.database import sqlite, sqlite_files
from adapters.database.sqlite import SQLite, SQLiteConfig
from adapters.database.sqlite_restore import SQLiteRestoration, exclusively
from core.errors import (
    AdapterError,
    ConfigurationError,
    ConnectionError,
    DumpError,
    RestoreError,
    StorageFull,
    TargetExists,
)
from core.ports import DumpOptions, RestoreTarget
from tests.adapters.database_contract import DatabaseContract, Subject, put_back, taken
from tests.disks import as_nobody, read_only, small_disk

MIB = 1 << 20
JOURNALS = ("wal", "delete")


def connect(path: Path, timeout: float = 30.0) -> sqlite3.Connection:
    """A connection that does only what it is told."""
    return sqlite3.connect(os.fsencode(path), isolation_level=None, timeout=timeout, check_same_thread=False)


def script(path: Path, *statements: str) -> None:
    """Run statements on a file, made if it is missing."""
    with closing(connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(path: Path, query: str = "SELECT id, word FROM things ORDER BY id") -> list[Any]:
    with closing(connect(path)) as connection:
        return connection.execute(query).fetchall()


def make(path: Path, count: int, journal: str = "delete") -> Path:
    """A database with the table ``things``."""
    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, word TEXT)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO things VALUES (?, ?)", ((n, f"word {n}") for n in range(count)))
        connection.execute("COMMIT")
    return path


def make_large(path: Path, megabytes: int) -> Path:
    """A database of at least so many MiB."""
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, body BLOB)")
        connection.executemany("INSERT INTO blobs (body) VALUES (randomblob(?))", [(MIB,)] * megabytes)
    return path


@contextmanager
def another_process(path: Path, statements: Sequence[str], *, repeat: bool = False) -> Iterator[None]:
    """A process that has run the statements once, and goes on running them or keeps its connection open."""
    program = """
import sqlite3, sys, time
path, repeat, *statements = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None, timeout=60)
for statement in statements:
    connection.execute(statement).fetchall()
print("ready", flush=True)
while repeat == "True":
    for statement in statements:
        connection.execute(statement).fetchall()
    time.sleep(0.001)
sys.stdin.read()
"""
    arguments = [os.fspath(path), str(repeat), *statements]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def crashed(path: Path, *statements: str) -> None:
    """Run statements in a process that is then killed, so that it leaves what it had not tidied up."""
    with another_process(path, statements):
        pass


def beside(path: Path) -> dict[str, bytes]:
    """Every file of the folder and its bytes."""
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir() if entry.is_file()}


def adapter(path: Path, scratch: Path | None = None) -> SQLite:
    return SQLite(SQLiteConfig(path=path), scratch=scratch)


def dumped(path: Path, scratch: Path | None = None) -> list[bytes]:
    return taken(adapter(path, scratch), path.stem)[0]


def restored(chunks: Sequence[bytes], path: Path, *, overwrite: bool = False) -> Path:
    put_back(adapter(path), chunks, RestoreTarget(str(path), overwrite=overwrite))
    return path


# --- the contract ---


class ByName(SQLite):
    """The contract speaks of databases by name; a restore of SQLite names a file."""

    def __init__(self, config: SQLiteConfig, scratch: Path) -> None:
        super().__init__(config, scratch=scratch)
        self._folder = config.path.parent

    def check_restore(self, target: RestoreTarget) -> None:
        super().check_restore(self._file(target))

    def restore(self, target: RestoreTarget) -> SQLiteRestoration:
        return super().restore(self._file(target))

    def _file(self, target: RestoreTarget) -> RestoreTarget:
        return replace(target, database=str(self._folder / f"{target.database}.db"))


class Files(Subject):
    things = "things"

    def __init__(self, folder: Path, journal: str) -> None:
        self.folder, self.scratch, self.journal = folder / "databases", folder / "scratch", journal
        self.folder.mkdir()
        self.scratch.mkdir()

    def path(self, database: str) -> Path:
        return self.folder / f"{database}.db"

    def adapter(self, database: str) -> SQLite:
        return ByName(SQLiteConfig(path=self.path(database)), self.scratch)

    def name(self, stem: str) -> str:
        return stem.replace("/", "\N{DIVISION SLASH}")

    def create(self, database: str, rows: int) -> None:
        make(self.path(database), rows, self.journal)

    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        return rows(self.path(database))

    def names(self) -> set[str]:
        files = {entry.name for folder in (self.folder, self.scratch) for entry in folder.iterdir()}
        return {name for name in files if not name.endswith(("-wal", "-shm"))}  # SQLite's own, beside a read database

    @contextmanager
    def writing(self, database: str) -> Iterator[None]:
        statements = (
            "BEGIN IMMEDIATE",
            "DELETE FROM things WHERE id IN (SELECT id FROM things ORDER BY id LIMIT 3)",
            "INSERT INTO things SELECT max(id) + 1, 'new' FROM things",
            "COMMIT",
        )
        with another_process(self.path(database), statements, repeat=True):
            yield


@pytest.fixture(params=JOURNALS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(tmp_path, request.param)


class TestSQLite(DatabaseContract):
    """The whole contract, in both kinds of journal."""


# --- which file ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///srv/shop.db", "/srv/shop.db"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
        ("sqlite:///./shop.db", f"{Path.cwd()}/shop.db"),
        ("sqlite:///srv/a%20b%3F%23%25.db", "/srv/a b?#%.db"),
        ("sqlite:///srv/Ünï.db", "/srv/Ünï.db"),
        ("sqlite:///srv/100%.db", "/srv/100%.db"),
    ],
)
def test_a_url_names_the_file(url: str, path: str) -> None:
    assert str(SQLiteConfig.from_url(url).path) == path


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://shop.db", "sqlite:///a.db?mode=ro", "mysql:///x"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SQLiteConfig.from_url(url)
    assert refusal.value.hint


@pytest.mark.parametrize(
    "name", [b"a?b#c%41 d.db", "Ünï日本.sqlite3".encode(), b"-x", b"no-utf8-\xff.db", b"file:x.db"]
)
def test_any_file_name_is_read_and_written(tmp_path: Path, name: bytes) -> None:
    path = make(tmp_path / os.fsdecode(name), 3)
    copy = restored(dumped(path), path.with_name("copy of " + path.name))
    assert rows(copy) == rows(path)


def test_the_database_is_named_after_the_file(tmp_path: Path) -> None:
    source = adapter(make(tmp_path / "shop.v2.sqlite", 3))
    assert source.default_database() == "shop.v2"
    (found,) = source.databases()
    assert (found.name, found.size, found.tables) == ("shop.v2", (tmp_path / "shop.v2.sqlite").stat().st_size, 1)


def test_a_choice_of_tables_is_refused_and_not_ignored(tmp_path: Path) -> None:
    source = adapter(make(tmp_path / "shop.db", 3))
    for options in (
        DumpOptions(tables=("things",)),
        DumpOptions(exclude_tables=("x",)),
        DumpOptions(schemas=("main",)),
    ):
        with pytest.raises(ConfigurationError, match="whole file"):
            source.dump("shop", options)


def make_garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(50_000))


@pytest.mark.parametrize(
    ("make_it", "words"),
    [
        (lambda path: None, "there is no file"),
        (Path.mkdir, "is not a file"),
        (os.mkfifo, "is not a file"),
        (Path.touch, "is empty"),
        (make_garbage, "no SQLite database"),
        (lambda path: path.symlink_to("nowhere"), "is not a file"),
    ],
)
def test_what_is_no_database_is_said_to_be_none(tmp_path: Path, make_it: object, words: str) -> None:
    assert callable(make_it)
    make_it(tmp_path / "shop.db")
    source = adapter(tmp_path / "shop.db")
    for use in (source.probe, source.databases, source.dump("shop", DumpOptions()).__enter__):
        with pytest.raises(ConnectionError, match=words) as failure:
            use()
        assert failure.value.permanent
        assert failure.value.hint


# --- the dump ---


@pytest.mark.parametrize("journal", JOURNALS)
def test_a_copy_taken_under_a_busy_writer_is_one_moment(tmp_path: Path, journal: str) -> None:
    path = make(tmp_path / "bank.db", 20_000, journal)
    script(path, "CREATE TABLE a (n INTEGER)", "CREATE TABLE b (n INTEGER)", "INSERT INTO a VALUES (0)")
    script(path, "INSERT INTO b VALUES (0)")
    step = ("BEGIN IMMEDIATE", "UPDATE a SET n = n + 1", "UPDATE b SET n = n - 1", "COMMIT")
    with another_process(path, step, repeat=True):
        copies = [dumped(path) for _ in range(5)]
    for number, chunks in enumerate(copies):
        copy = restored(chunks, tmp_path / f"copy{number}.db")
        assert rows(copy, "SELECT a.n + b.n, count(*) FROM a, b") == [(0, 1)]


def test_a_writer_in_wal_mode_is_not_held_up_and_not_copied(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 10, "wal")
    with closing(connect(path, timeout=0)) as writer, adapter(path).dump("shop", DumpOptions()) as dump:
        writer.execute("INSERT INTO things VALUES (99, 'after')")
        chunks = [bytes(chunk) for chunk in dump.chunks()]
    assert len(rows(restored(chunks, tmp_path / "copy.db"))) == 10
    assert len(rows(path)) == 11


def test_writes_between_the_steps_do_not_begin_the_copy_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "shop.db", 20_000, "wal")
    steps: list[int] = []
    with closing(connect(path)) as writer:

        def write(_status: int, remaining: int, total: int) -> None:
            writer.execute("UPDATE things SET word = word || '!' WHERE id = 1")
            steps.append(remaining)
            assert len(steps) <= total, "the copy began again"

        monkeypatch.setattr(sqlite, "PAGES_A_STEP", 1)
        monkeypatch.setattr(sqlite, "_listen", write)
        chunks = dumped(path)
    assert len(steps) > 50
    assert rows(restored(chunks, tmp_path / "copy.db"))[1] == (1, "word 1")


def test_what_only_the_wal_holds_is_in_the_copy_and_the_source_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = make(tmp_path / "source" / "shop.db", 10, "wal")
    crashed(path, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO things VALUES (11, 'in the WAL')")
    before = beside(path)
    assert before["shop.db-wal"]
    chunks = dumped(path)
    after = beside(path)
    assert (after["shop.db"], after["shop.db-wal"]) == (before["shop.db"], before["shop.db-wal"])
    assert rows(restored(chunks, tmp_path / "copy.db"))[-1] == (11, "in the WAL")


def test_reading_takes_nobodys_lock_away(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 10)  # in this mode the locks are on the file itself
    with closing(connect(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        adapter(path).probe()
        dumped(path)
        with pytest.raises(TargetExists):
            adapter(path).check_restore(RestoreTarget(str(path)))
        second = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        ran = subprocess.run([sys.executable, "-c", second, path], capture_output=True, text=True, check=False)
    assert "database is locked" in ran.stderr


def test_every_table_that_holds_rows_is_counted(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 7)
    script(
        path,
        'CREATE TABLE "odd ""name" (a)',
        'INSERT INTO "odd ""name" VALUES (1), (2)',
        "CREATE TABLE without (k TEXT PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO without VALUES ('x')",
        "CREATE VIEW seen AS SELECT * FROM things",
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE VIRTUAL TABLE search USING fts5(word)",
        "INSERT INTO search VALUES ('hello'), ('world')",
        "ANALYZE",
    )
    chunks, contents = taken(adapter(path), "shop")
    assert {name: contents.rows[name] for name in ("things", 'odd "name', "without", "numbered")} == {
        "things": 7,
        'odd "name': 2,
        "without": 1,
        "numbered": 0,
    }
    assert contents.rows["search_content"] == 2
    assert not {"search", "seen", "sqlite_sequence", "sqlite_stat1"} & set(contents.rows)
    assert contents.tables == len(contents.rows)
    copy = restored(chunks, tmp_path / "copy.db")
    assert rows(copy, "SELECT rowid, word FROM search WHERE search MATCH 'world'") == [(2, "world")]


def test_a_damaged_database_is_no_backup(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 20_000)
    script(path, "CREATE INDEX by_word ON things (word)")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 8 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(DumpError, match="damaged") as failure:
        dumped(path)
    assert failure.value.hint


def test_rows_missing_from_an_index_are_found(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 10)
    script(
        path,
        "CREATE INDEX by_word ON things (word)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX by_word ON things (word) WHERE id > 4' WHERE name = 'by_word'",
    )
    with pytest.raises(DumpError, match="by_word"):
        dumped(path)


def test_a_database_that_only_its_application_can_check_is_no_backup(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "shop.db")) as application:
        application.create_collation("own", lambda one, other: (one > other) - (one < other))
        application.execute("CREATE TABLE things (word TEXT COLLATE own UNIQUE)")
    with pytest.raises(DumpError, match="own"):
        dumped(tmp_path / "shop.db")


def test_a_journal_that_must_be_rolled_back_is_not_ignored(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 3_000)
    crashed(path, "PRAGMA cache_size = 1", "BEGIN", "UPDATE things SET word = 'half'", "SELECT count(*) FROM things")
    before = beside(path)
    assert "shop.db-journal" in before
    with pytest.raises(ConnectionError) as failure:
        dumped(path)
    assert "open it once with its application" in failure.value.hint
    assert beside(path) == before


def test_a_locked_database_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "shop.db", 10)
    monkeypatch.setattr(sqlite_files, "PATIENCE", 0.01)
    with another_process(path, ["BEGIN EXCLUSIVE"]), pytest.raises(ConnectionError, match="locked") as failure:
        dumped(path)
    assert not failure.value.permanent


# --- the private copy ---


def test_the_copy_is_private_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, scratch = make(tmp_path / "shop.db", 1_000), tmp_path / "run" / "scratch"
    seen: set[tuple[str, ...]] = set()

    def look(_status: int, _remaining: int, _total: int) -> None:
        (copy,) = scratch.iterdir()
        seen.add(tuple(oct(stat.S_IMODE(entry.stat().st_mode)) for entry in (scratch, copy)))

    monkeypatch.setattr(sqlite, "_listen", look)
    previous = os.umask(0)
    try:
        dumped(path, scratch)
    finally:
        os.umask(previous)
    assert seen == {("0o700", "0o600")}


def test_the_copy_has_no_name_from_the_first_chunk_on(tmp_path: Path) -> None:
    path, scratch = make_large(tmp_path / "shop.db", 3), tmp_path / "scratch"
    with adapter(path, scratch).dump("shop", DumpOptions()) as dump:
        chunks = dump.chunks()
        next(chunks)
        assert list(scratch.iterdir()) == []
        assert sum(len(chunk) for chunk in chunks) > 2 * MIB


@pytest.mark.parametrize("failing", ["_listen", "_streamed"])
def test_a_dump_that_is_interrupted_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path, scratch = make(tmp_path / "shop.db", 1_000), tmp_path / "scratch"

    def interrupt(*_: object) -> None:
        assert list(scratch.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite, failing, interrupt)
    with pytest.raises(KeyboardInterrupt):
        dumped(path, scratch)
    assert list(scratch.iterdir()) == []


def test_without_a_folder_one_is_made_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, temporary = make(tmp_path / "shop.db", 10), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with adapter(path).dump("shop", DumpOptions()):
        (made,) = temporary.iterdir()
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert list(temporary.iterdir()) == []


def test_too_little_room_for_the_copy_is_known_beforehand(tmp_path: Path) -> None:
    path = make_large(tmp_path / "shop.db", 25)
    with small_disk(tmp_path / "small", megabytes=20) as disk, pytest.raises(StorageFull) as failure:
        adapter(path, disk).dump("shop", DumpOptions()).__enter__()
    assert f"{path.stat().st_size - 20 * MIB:,} bytes are missing" in failure.value.message


def test_a_disk_that_fills_up_while_the_copy_is_made_fails_the_dump(tmp_path: Path) -> None:
    path = make_large(tmp_path / "shop.db", 12)
    with small_disk(tmp_path / "small", megabytes=20) as disk:
        with adapter(path, disk).dump("shop", DumpOptions()) as dump:
            (disk / "filler").write_bytes(b"x" * (10 * MIB))
            with pytest.raises(StorageFull) as failure:
                list(dump.chunks())
        assert [entry.name for entry in disk.iterdir()] == ["filler"]
    assert "bytes are missing" in failure.value.message
    assert failure.value.hint


def test_a_signal_ends_a_long_check_at_once() -> None:
    class Cancelled(BaseException):
        """What a handler raises."""

    begun, ended = threading.Event(), threading.Event()

    def cancel(*_: object) -> None:
        raise Cancelled

    def raise_signal() -> None:
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def endless(watch: sqlite_files.Watch) -> None:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            watch.over(connection)
            connection.create_function("begun", 0, begun.set)
            query = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT 1 FROM n) SELECT max(i) FROM n"
            with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                connection.execute(query).fetchone()
            ended.set()

    previous = signal.signal(signal.SIGUSR1, cancel)
    killer = threading.Thread(target=raise_signal)
    killer.start()
    try:
        with pytest.raises(Cancelled):
            sqlite_files.interruptible(endless)
        assert ended.wait(30)
    finally:
        killer.join()
        signal.signal(signal.SIGUSR1, previous)


# --- file systems that cannot be written ---


def test_a_database_in_a_snapshot_is_read(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    path = make(tmp_path / "snapshot" / "shop.db", 10, "wal")
    with read_only(tmp_path / "snapshot"):
        chunks = dumped(path)
    assert len(rows(restored(chunks, tmp_path / "copy.db"))) == 10


def test_a_snapshot_with_an_unread_wal_is_refused_and_not_read_without_it(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    path = make(tmp_path / "snapshot" / "shop.db", 10, "wal")
    crashed(path, "INSERT INTO things VALUES (11, 'in the WAL')")
    sqlite_files.leftover(path, "-shm").unlink()
    with read_only(tmp_path / "snapshot"), pytest.raises(ConnectionError) as failure:
        dumped(path)
    assert "WAL" in failure.value.hint


def test_a_file_of_somebody_else_is_said_to_be_one(tmp_path: Path) -> None:
    path = make(tmp_path / "shop.db", 1)
    path.chmod(0o600)
    shared = Path("/tmp") / f"dbackup-{os.getpid()}.db"
    shutil.copy(path, shared)
    shared.chmod(0o600)
    try:
        with as_nobody(), pytest.raises(ConnectionError, match="cannot be opened") as failure:
            adapter(shared).probe()
    finally:
        shared.unlink()
    assert "65534" in failure.value.hint


def test_a_link_to_where_one_may_not_go_is_said_to_be_one(tmp_path: Path) -> None:
    make(tmp_path / "real.db", 1)
    tmp_path.chmod(0o700)
    link = Path("/tmp") / f"dbackup-link-{os.getpid()}.db"
    link.symlink_to(tmp_path / "real.db")
    try:
        with as_nobody(), pytest.raises(ConnectionError) as failure:
            adapter(link).probe()
    finally:
        link.unlink()
    assert failure.value.hint


# --- the restore ---


@pytest.fixture
def chunks(tmp_path: Path) -> list[bytes]:
    """A dump of a database with 5 things."""
    return dumped(make(tmp_path / "source.db", 5, "wal"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a database ``old.db`` lies or will lie, alone in its folder."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place" / "old.db"


def test_a_restored_file_is_private(chunks: list[bytes], place: Path) -> None:
    restored(chunks, place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert set(beside(place)) == {"old.db"}


def test_overwriting_keeps_owner_and_mode(chunks: list[bytes], place: Path) -> None:
    make(place, 2)
    os.chown(place, 1234, 4321)
    place.chmod(0o640)
    restored(chunks, place, overwrite=True)
    status = place.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 4321, 0o640)
    assert len(rows(place)) == 5


def test_a_link_stays_and_what_it_names_is_replaced(chunks: list[bytes], place: Path, tmp_path: Path) -> None:
    make(tmp_path / "real.db", 2)
    place.symlink_to(tmp_path / "real.db")
    restored(chunks, place, overwrite=True)
    assert place.is_symlink()
    assert len(rows(tmp_path / "real.db")) == 5


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_whatever_lies_there_is_a_refusal(chunks: list[bytes], place: Path, suffix: str) -> None:
    sqlite_files.leftover(place, suffix).write_bytes(b"something")
    before = beside(place)
    with pytest.raises(TargetExists) as refusal:
        restored(chunks, place)
    assert "--overwrite" in refusal.value.hint
    assert beside(place) == before


def test_what_appears_during_the_restore_is_not_overwritten(chunks: list[bytes], place: Path) -> None:
    restoration = adapter(place).restore(RestoreTarget(str(place)))
    with restoration:
        restoration.load(chunks)
        make(place, 2)
        with pytest.raises(TargetExists):
            restoration.publish()
    assert len(rows(place)) == 2
    assert set(beside(place)) == {"old.db"}


@pytest.mark.parametrize("journal", JOURNALS)
def test_a_crashed_old_database_is_not_replayed_into_the_new_one(
    chunks: list[bytes], place: Path, journal: str
) -> None:
    make(place, 3_000, journal)
    crashed(place, "PRAGMA cache_size = 1", "BEGIN", "UPDATE things SET word = 'half'", "SELECT count(*) FROM things")
    crashed(place, "INSERT INTO things VALUES (100000, 'old')") if journal == "wal" else None
    assert len(beside(place)) > 1
    restored(chunks, place, overwrite=True)
    assert set(beside(place)) == {"old.db"}
    assert rows(place) == [(n, f"word {n}") for n in range(5)]
    assert rows(place, "PRAGMA integrity_check") == [("ok",)]


def test_a_wal_whose_database_is_lost_is_not_replayed(chunks: list[bytes], place: Path) -> None:
    make(place, 10, "wal")
    crashed(place, "INSERT INTO things VALUES (11, 'old')")
    place.unlink()
    restored(chunks, place, overwrite=True)
    assert len(rows(place)) == 5


@pytest.mark.parametrize("part", [0, 1])
def test_a_failing_restore_leaves_the_old_one_byte_for_byte(chunks: list[bytes], place: Path, part: int) -> None:
    make(place, 10, "wal")
    crashed(place, "INSERT INTO things VALUES (11, 'in the WAL')")
    before = beside(place)

    def cut() -> Iterator[bytes]:
        yield b"".join(chunks)[: 4096 * part + 100]
        raise ConnectionResetError

    restoration = adapter(place).restore(RestoreTarget(str(place), overwrite=True))
    with pytest.raises(ConnectionResetError), restoration:
        restoration.load(cut())
    assert beside(place) == before


def test_at_the_moment_of_the_rename_the_old_file_is_whole_by_itself(
    chunks: list[bytes], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(place, 10, "wal")
    crashed(place, "INSERT INTO things VALUES (11, 'in the WAL')")
    survivor = tmp_path / "survivor.db"

    def fail(*_: object) -> None:
        survivor.write_bytes(place.read_bytes())
        assert {name for name in beside(place) if not name.startswith(".")} == {"old.db"}
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RestoreError, match="Input/output"):
        restored(chunks, place, overwrite=True)
    for file in (survivor, place):
        assert len(rows(file)) == 11
        assert rows(file)[-1] == (11, "in the WAL")
    assert not any("dbackup" in name for name in beside(place))


@pytest.mark.parametrize(
    ("journal", "statements"),
    [
        ("wal", ["SELECT count(*) FROM things"]),
        ("wal", ["BEGIN IMMEDIATE"]),
        ("delete", ["BEGIN IMMEDIATE"]),
        ("delete", ["BEGIN", "SELECT count(*) FROM things"]),
    ],
)
def test_a_database_in_use_is_not_replaced(
    chunks: list[bytes], place: Path, monkeypatch: pytest.MonkeyPatch, journal: str, statements: list[str]
) -> None:
    make(place, 2, journal)
    monkeypatch.setattr("adapters.database.sqlite_restore.PATIENCE", 0.01)
    with another_process(place, statements):
        before = beside(place)
        with pytest.raises(RestoreError, match="in use") as failure:
            restored(chunks, place, overwrite=True)
        assert beside(place)["old.db"] == before["old.db"]
    assert failure.value.hint
    assert len(rows(place)) == 2


@pytest.mark.parametrize("journal", JOURNALS)
def test_nobody_can_open_the_old_one_once_it_is_held(place: Path, journal: str) -> None:
    make(place, 2, journal)
    read = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT count(*) FROM things')"
    with exclusively(place):
        ran = subprocess.run([sys.executable, "-c", read, place], capture_output=True, text=True, check=False)
    assert "database is locked" in ran.stderr


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_old_database_can_be_replaced(chunks: list[bytes], place: Path, damage: bytes) -> None:
    place.write_bytes(damage)
    sqlite_files.leftover(place, "-wal").write_bytes(b"x" * 5000)
    restored(chunks, place, overwrite=True)
    assert len(rows(place)) == 5


def test_a_full_disk_leaves_the_old_one_and_says_how_much_was_written(tmp_path: Path) -> None:
    chunks = dumped(make_large(tmp_path / "source.db", 25))
    with small_disk(tmp_path / "small", megabytes=20) as disk:
        make(disk / "old.db", 2)
        with pytest.raises(RestoreError, match="No space left") as failure:
            restored(chunks, disk / "old.db", overwrite=True)
        assert set(beside(disk / "old.db")) == {"old.db"}
        assert len(rows(disk / "old.db")) == 2
    assert "bytes are free" in failure.value.message


def test_a_target_that_cannot_be_made_is_known_beforehand(tmp_path: Path) -> None:
    source = adapter(make(tmp_path / "source.db", 1))
    for target in (tmp_path, tmp_path / "missing" / "x.db"):
        with pytest.raises(RestoreError) as failure:
            source.check_restore(RestoreTarget(str(target), overwrite=True))
        assert failure.value.hint
    with read_only(tmp_path), pytest.raises(RestoreError):
        source.check_restore(RestoreTarget(str(tmp_path / "x.db")))


def test_a_missing_database_of_another_name_is_said(tmp_path: Path) -> None:
    source = adapter(make(tmp_path / "shop.db", 1))
    with pytest.raises(AdapterError, match="holds no database"):
        source.dump("other", DumpOptions()).__enter__()


# --- what killed restores leave ---


def restored_half(path: Path) -> str:
    """The new file of a restore that is under way while this runs in a program that is then killed."""
    program = f"""
import os, signal, sys
from adapters.database.sqlite import SQLite, SQLiteConfig
from core.ports import RestoreTarget
with SQLite(SQLiteConfig(path="{path}")).restore(RestoreTarget("{path}")) as restoration:
    def chunks():
        yield b"SQLite format 3\\0"
        os.kill(os.getpid(), signal.SIGKILL)
        yield b""
    restoration.load(chunks())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    [left] = path.parent.glob(f".{path.name}.dbackup-*")
    return str(left)


def test_the_file_of_a_killed_restore_is_found_and_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path, chunks: list[bytes]
) -> None:
    left = restored_half(tmp_path / "shop.db")
    adapter = SQLite(SQLiteConfig(path=tmp_path / "source.db"))
    with adapter.restore(RestoreTarget(str(tmp_path / "other.db"))) as restoration:
        restoration.load(iter(chunks))
        by_name = {one.name: one for one in adapter.unfinished()}
        living = next(name for name in by_name if name != left)
        assert (by_name[left].in_use, by_name[left].size) == (False, 16)
        assert by_name[living].in_use
        with pytest.raises(AdapterError, match="in use"):
            adapter.drop_unfinished(living)
        adapter.drop_unfinished(left)
        restoration.publish()
    assert not os.path.lexists(left)
    assert adapter.unfinished() == []
    assert (tmp_path / "other.db").exists()


def test_a_file_that_only_has_the_name_of_a_restore_s_stays(tmp_path: Path, chunks: list[bytes]) -> None:
    (tmp_path / ".notes.dbackup-0123abcd").write_text("dear diary")
    (tmp_path / ".link.dbackup-0123abcd").mkdir()
    adapter = SQLite(SQLiteConfig(path=tmp_path / "source.db"))
    assert [one.mark for one in adapter.unfinished()] == [None]
    for name in (".notes.dbackup-0123abcd", "source.db"):
        with pytest.raises(AdapterError, match="nothing proves"):
            adapter.drop_unfinished(str(tmp_path / name))
    assert (tmp_path / ".notes.dbackup-0123abcd").exists()
