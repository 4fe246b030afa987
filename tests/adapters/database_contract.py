"""What every engine promises, whatever lies behind it.

A test module subclasses :class:`DatabaseContract` and gives a ``subject`` fixture; everything below then runs
against it. The memory fake passes the same suite, so the tests of the services above may rely on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import pytest

from core.errors import AdapterError, DBackupError, RestoreError, TargetExists
from core.manifest import Contents
from core.ports import DatabaseAdapter, Dump, DumpOptions, RestoreTarget

ODD_NAMES = ("a b", "-x", "Ünï'\"\\", "a=b", "a/b", "..", "dbname=postgres host=evil", "%41$(id)")
ROWS = 5_000


class Subject(ABC):
    """An engine under test: the adapter, and a way round it to look at the databases themselves."""

    things: str  # the key of the table ``things`` in ``Contents.rows``

    @abstractmethod
    def adapter(self, database: str) -> DatabaseAdapter:
        """An adapter whose configuration names this database."""

    @abstractmethod
    def name(self, stem: str) -> str:
        """The true name of a database that does not exist yet; ``stem`` may hold any character."""

    @abstractmethod
    def create(self, database: str, rows: int) -> None:
        """Make a database with a table ``things(id, word)`` of so many rows."""

    @abstractmethod
    def rows(self, database: str) -> Sequence[tuple[int, str]]:
        """Every row of ``things``, in the order of ``id``."""

    @abstractmethod
    def names(self) -> set[str]:
        """Every database (or file) there is, leftovers included."""

    @contextmanager
    def writing(self, database: str) -> Iterator[None]:
        """Rows are added to and removed from ``things`` all the while; at least one before this is entered."""
        stop, begun = Event(), Event()
        writer = Thread(target=self._write, args=(database, stop, begun))
        writer.start()
        begun.wait()
        try:
            yield
        finally:
            stop.set()
            writer.join()

    def _write(self, database: str, stop: Event, begun: Event) -> None:
        """Write until ``stop`` is set, and set ``begun`` once there is something."""
        raise NotImplementedError


def drawn(dump: Dump) -> Iterator[bytes]:
    """The dump's chunks as bytes of their own: a chunk is valid only until the next one is drawn."""
    return (bytes(chunk) for chunk in dump.chunks())


def taken(adapter: DatabaseAdapter, database: str, options: DumpOptions | None = None) -> tuple[list[bytes], Contents]:
    """A whole dump: its chunks and what it says it holds."""
    with adapter.dump(database, options or DumpOptions()) as dump:
        chunks = list(drawn(dump))
        contents = dump.contents()
    assert contents is not None
    return chunks, contents


def put_back(adapter: DatabaseAdapter, chunks: Sequence[bytes], target: RestoreTarget) -> Contents:
    """A whole restore, published; gives what was found in it before it was."""
    adapter.check_restore(target)
    with adapter.restore(target) as restoration:
        restoration.load(iter(chunks))
        found = restoration.contents(target.expected)
        restoration.publish()
    return found


class SourceFailed(Exception):
    """The stream that feeds a restore broke off."""


def broken(chunks: Sequence[bytes], keep: int) -> Iterator[bytes]:
    """The first ``keep`` bytes of a stream, then an error."""
    yield b"".join(chunks)[:keep]
    raise SourceFailed


class DatabaseContract:
    """The suite. ``subject`` is given by the subclass's module."""

    def test_it_says_what_answers(self, subject: Subject) -> None:
        database = subject.name("probed")
        subject.create(database, 1)
        adapter = subject.adapter(database)
        info = adapter.probe()
        assert info.engine == adapter.engine
        assert info.version[0].isdigit()
        assert info.tool

    def test_it_knows_the_database_it_was_given(self, subject: Subject) -> None:
        database = subject.name("given")
        subject.create(database, 1)
        adapter = subject.adapter(database)
        assert adapter.default_database() == database
        assert database in {info.name for info in adapter.databases()}

    def test_what_was_dumped_comes_back_row_for_row(self, subject: Subject) -> None:
        database, copy = subject.name("shop"), subject.name("shop copy")
        subject.create(database, ROWS)
        adapter = subject.adapter(database)
        chunks, contents = taken(adapter, database)
        found = put_back(adapter, chunks, RestoreTarget(copy, expected=contents))
        assert subject.rows(copy) == subject.rows(database)
        assert contents.rows[subject.things] == found.rows[subject.things] == ROWS
        assert found.tables == contents.tables

    @pytest.mark.parametrize("stem", ODD_NAMES)
    def test_any_name_makes_the_round_trip(self, subject: Subject, stem: str) -> None:
        database, copy = subject.name(stem), subject.name(stem + "2")
        subject.create(database, 3)
        adapter = subject.adapter(database)
        chunks, contents = taken(adapter, database)
        put_back(adapter, chunks, RestoreTarget(copy, expected=contents))
        assert subject.rows(copy) == subject.rows(database)

    def test_the_counts_belong_to_the_dump_while_others_write(self, subject: Subject) -> None:
        database, copy = subject.name("busy"), subject.name("busy copy")
        subject.create(database, ROWS)
        adapter = subject.adapter(database)
        with subject.writing(database):
            chunks, contents = taken(adapter, database)
        found = put_back(adapter, chunks, RestoreTarget(copy, expected=contents))
        assert found.rows == contents.rows
        assert len(subject.rows(copy)) == contents.rows[subject.things]

    def test_a_count_is_exact_or_named_as_an_estimate(self, subject: Subject) -> None:
        database = subject.name("estimated")
        subject.create(database, ROWS)
        _, contents = taken(subject.adapter(database), database, DumpOptions(exact_rows=10))
        assert contents.rows[subject.things] == ROWS or subject.things in contents.estimated

    def test_a_database_that_does_not_exist_is_no_empty_dump(self, subject: Subject) -> None:
        database = subject.name("there")
        subject.create(database, 1)
        adapter = subject.adapter(database)
        before = subject.names()
        with pytest.raises(AdapterError), adapter.dump(subject.name("not there"), DumpOptions()):
            pytest.fail("the dump was entered")
        assert subject.names() == before

    def test_a_dump_left_midway_stays_quiet_and_leaves_nothing(self, subject: Subject) -> None:
        database = subject.name("left")
        subject.create(database, ROWS)
        before = subject.names()
        with subject.adapter(database).dump(database, DumpOptions()) as dump:
            next(dump.chunks())
        assert subject.names() == before

    def test_an_existing_target_is_refused(self, subject: Subject) -> None:
        database, target = subject.name("new"), subject.name("old")
        subject.create(database, 5)
        subject.create(target, 2)
        with pytest.raises(TargetExists) as refusal:
            subject.adapter(database).check_restore(RestoreTarget(target))
        assert "--overwrite" in refusal.value.hint
        assert len(subject.rows(target)) == 2

    def test_overwriting_puts_the_new_in_the_place_of_the_old(self, subject: Subject) -> None:
        database, target = subject.name("new"), subject.name("old")
        subject.create(database, 5)
        subject.create(target, 2)
        adapter = subject.adapter(database)
        chunks, contents = taken(adapter, database)
        before = subject.names()
        put_back(adapter, chunks, RestoreTarget(target, overwrite=True, expected=contents))
        assert subject.rows(target) == subject.rows(database)
        assert subject.names() == before

    def test_the_old_one_is_in_place_until_the_new_one_is_published(self, subject: Subject) -> None:
        database, target = subject.name("new"), subject.name("old")
        subject.create(database, 5)
        subject.create(target, 2)
        adapter = subject.adapter(database)
        chunks, _ = taken(adapter, database)
        before = subject.names()
        with adapter.restore(RestoreTarget(target, overwrite=True)) as restoration:
            restoration.load(iter(chunks))
            assert len(subject.rows(target)) == 2
        assert len(subject.rows(target)) == 2
        assert subject.names() == before

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_a_truncated_dump_changes_nothing(self, subject: Subject, share: float) -> None:
        database, target = subject.name("new"), subject.name("old")
        subject.create(database, ROWS)
        subject.create(target, 2)
        adapter = subject.adapter(database)
        chunks, _ = taken(adapter, database)
        whole, old, before = b"".join(chunks), subject.rows(target), subject.names()
        cut = whole[: int(len(whole) * share)]
        restoration = adapter.restore(RestoreTarget(target, overwrite=True))
        with pytest.raises(RestoreError), restoration:
            restoration.load(iter([cut]))
        assert subject.rows(target) == old
        assert subject.names() == before

    def test_a_stream_that_breaks_off_changes_nothing(self, subject: Subject) -> None:
        database, target = subject.name("new"), subject.name("old")
        subject.create(database, ROWS)
        subject.create(target, 2)
        adapter = subject.adapter(database)
        chunks, _ = taken(adapter, database)
        old, before = subject.rows(target), subject.names()
        half = sum(map(len, chunks)) // 2
        restoration = adapter.restore(RestoreTarget(target, overwrite=True))
        with pytest.raises(SourceFailed), restoration:
            restoration.load(broken(chunks, half))
        assert subject.rows(target) == old
        assert subject.names() == before

    def test_what_is_no_dump_is_refused(self, subject: Subject) -> None:
        database, target = subject.name("there"), subject.name("target")
        subject.create(database, 1)
        before = subject.names()
        restoration = subject.adapter(database).restore(RestoreTarget(target))
        with pytest.raises(RestoreError), restoration:
            restoration.load(iter([b"this is no dump of anything\n" * 1000]))
        assert subject.names() == before

    def test_nothing_foreign_is_raised(self, subject: Subject) -> None:
        database = subject.name("there")
        subject.create(database, 1)
        adapter = subject.adapter(database)
        missing = subject.name("not there")
        with pytest.raises(DBackupError) as failure:
            taken(adapter, missing)
        assert failure.value.message
        assert failure.value.hint

    def test_the_target_may_be_expected_to_hold_more_than_it_does(self, subject: Subject) -> None:
        database, copy = subject.name("short"), subject.name("short copy")
        subject.create(database, 4)
        adapter = subject.adapter(database)
        chunks, contents = taken(adapter, database)
        wished = replace_rows(contents, subject.things, 5)
        target = replace(RestoreTarget(copy), expected=wished)
        assert put_back(adapter, chunks, target).rows[subject.things] == 4


def replace_rows(contents: Contents, table: str, rows: int) -> Contents:
    """The same contents with another count for one table."""
    return contents.model_copy(update={"rows": {**contents.rows, table: rows}})
