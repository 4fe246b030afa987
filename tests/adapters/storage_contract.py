"""What every storage promises, whatever lies behind it.

A test module subclasses :class:`StorageContract` and gives two fixtures: ``storage``, which is empty, and
``broken``, a storage that held an object and whose list can no longer be read. The memory fake passes the same
suite, so the tests of the services above may rely on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event, Thread
from typing import ClassVar

import pytest

from core.errors import AdapterError, ConnectionError, ObjectExists, ObjectNotFound, StorageError
from core.ports import StorageAdapter
from core.streams import Chunk, Chunks

ODD_KEYS = ("a b", "-x", "Ünï'\"\\", "a=b", "%41/%2F", ".hidden", "a\nb", "日本/語", "$(id)", "~", "a?b#c", "*[x]")
WRONG_KEYS = ("", "/", "/etc/passwd", "..", "../up", "a/../b", "a/..", "a//b", "a/", ".", "./a", "a\0b", "\ud800")
PATIENCE = 30.0  # seconds; only a failing test waits so long


def torn() -> Iterator[bytes]:
    """An upload whose source breaks off."""
    yield b"first" * 100_000
    raise ConnectionResetError


def content(storage: StorageAdapter, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
    """The object's bytes. Each chunk is copied, for it is valid only until the next one is drawn."""
    return b"".join(bytes(chunk) for chunk in storage.get(key, offset=offset, length=length))


def keys(storage: StorageAdapter, prefix: str = "") -> list[str]:
    """The keys as they are listed."""
    return [found.key for found in storage.list(prefix)]


def reused(body: bytes, size: int) -> Iterator[Chunk]:
    """The body in chunks of one buffer that is overwritten each time, as the real sources give them."""
    buffer = bytearray(size)
    for start in range(0, len(body), size):
        part = body[start : start + size]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


class StorageContract:
    """The suite. ``storage`` and ``broken`` are given by the subclass's module."""

    many: ClassVar[int] = 1_100  # objects: more than a page of any listing holds

    def test_what_was_put_comes_back_byte_for_byte(self, storage: StorageAdapter) -> None:
        storage.put("job/backup/shop.dump", [b"one", bytearray(b"two"), memoryview(b"three")])
        assert content(storage, "job/backup/shop.dump") == b"onetwothree"

    def test_a_large_object_in_a_reused_buffer_comes_back(self, storage: StorageAdapter) -> None:
        body = random.Random(1).randbytes(9_000_001)
        storage.put("large", reused(body, 1 << 20))
        assert content(storage, "large") == body

    def test_an_empty_object_is_an_object(self, storage: StorageAdapter) -> None:
        storage.put("job/backup.lock", [])
        assert content(storage, "job/backup.lock") == b""
        assert [(found.key, found.size) for found in storage.list()] == [("job/backup.lock", 0)]

    def test_a_listed_object_has_its_size_and_time(self, storage: StorageAdapter) -> None:
        storage.put("a", [b"x" * 1234])
        (found,) = storage.list()
        assert found.size == 1234
        assert found.modified.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - found.modified) < timedelta(hours=1)

    def test_a_new_storage_lists_nothing(self, storage: StorageAdapter) -> None:
        assert list(storage.list()) == []

    def test_a_check_leaves_nothing_behind(self, storage: StorageAdapter) -> None:
        storage.check()
        assert list(storage.list()) == []

    def test_the_free_space_is_a_number_of_bytes_or_unknown(self, storage: StorageAdapter) -> None:
        free = storage.free_space()
        assert free is None or free > 0

    # --- whole or not at all ---

    def test_a_torn_upload_leaves_nothing_behind(self, storage: StorageAdapter) -> None:
        with pytest.raises(ConnectionResetError):
            storage.put("a/b", torn())
        assert list(storage.list()) == []
        with pytest.raises(ObjectNotFound):
            content(storage, "a/b")

    def test_an_upload_can_be_tried_again(self, storage: StorageAdapter) -> None:
        with pytest.raises(ConnectionResetError):
            storage.put("a/b", torn())
        storage.put("a/b", [b"whole"])
        assert content(storage, "a/b") == b"whole"

    def test_an_interrupted_upload_leaves_nothing_behind(self, storage: StorageAdapter) -> None:
        def interrupted() -> Iterator[bytes]:
            yield b"first"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            storage.put("a/b", interrupted())
        assert list(storage.list()) == []

    def test_an_unfinished_upload_is_never_listed(self, storage: StorageAdapter) -> None:
        halfway, go_on = Event(), Event()

        def slow() -> Iterator[bytes]:
            yield b"x" * 3_000_000
            halfway.set()
            assert go_on.wait(PATIENCE)
            yield b"y"

        upload = Thread(target=storage.put, args=("job/slow", slow()))
        upload.start()
        try:
            assert halfway.wait(PATIENCE)
            assert list(storage.list()) == []
            with pytest.raises(ObjectNotFound):
                content(storage, "job/slow")
        finally:
            go_on.set()
            upload.join()
        assert keys(storage) == ["job/slow"]

    def test_nothing_is_overwritten(self, storage: StorageAdapter) -> None:
        storage.put("a/b", [b"first"])
        with pytest.raises(ObjectExists) as refusal:
            storage.put("a/b", [b"second"])
        assert refusal.value.permanent
        assert content(storage, "a/b") == b"first"
        assert keys(storage) == ["a/b"]

    def test_of_two_writers_of_one_key_exactly_one_wins(self, storage: StorageAdapter) -> None:
        bodies = [bytes([number]) * 2_000_000 for number in range(4)]
        start, outcomes = Barrier(len(bodies)), dict[int, str]()

        def chunks(body: bytes) -> Iterator[bytes]:
            yield body[: len(body) // 2]
            start.wait(PATIENCE)  # all are past the first look whether the key is free
            yield body[len(body) // 2 :]

        def write(number: int) -> None:
            try:
                storage.put("race", chunks(bodies[number]))
                outcomes[number] = "stored"
            except ObjectExists:
                outcomes[number] = "refused"

        writers = [Thread(target=write, args=(number,)) for number in range(len(bodies))]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        (winner,) = [number for number, outcome in outcomes.items() if outcome == "stored"]
        assert sorted(outcomes.values()) == ["refused", "refused", "refused", "stored"]
        assert content(storage, "race") == bodies[winner]

    # --- listing ---

    def test_more_objects_than_a_page_holds_are_listed(self, storage: StorageAdapter) -> None:
        expected = [f"job-{number % 7}/{number:05}" for number in range(self.many)]
        for key in expected:
            storage.put(key, [b"x"])
        assert keys(storage) == sorted(expected)

    def test_the_list_is_in_the_order_of_keys(self, storage: StorageAdapter) -> None:
        expected = ["a b/c", "a-b", "a.b", "a/a", "a/b/c", "a0", "b", "é"]
        for key in reversed(expected):
            storage.put(key, [b""])
        assert keys(storage) == sorted(expected)

    def test_a_prefix_is_taken_letter_for_letter(self, storage: StorageAdapter) -> None:
        for key in ("shop/1", "shop/2/a", "shop-eu/1", "shopping", "s", "other/shop"):
            storage.put(key, [b""])
        assert keys(storage, "shop") == ["shop-eu/1", "shop/1", "shop/2/a", "shopping"]
        assert keys(storage, "shop/") == ["shop/1", "shop/2/a"]
        assert keys(storage, "shop/2") == ["shop/2/a"]
        assert keys(storage, "shop/2/a") == ["shop/2/a"]
        assert keys(storage, "shop/2/a/b") == []
        assert keys(storage, "nothing") == []

    def test_a_list_that_cannot_be_read_is_an_error_and_not_empty(self, broken: StorageAdapter) -> None:
        with pytest.raises((StorageError, ConnectionError)) as failure:
            list(broken.list())
        assert failure.value.message
        assert failure.value.hint

    # --- reading ---

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, 10),
            (5, 5),
            (0, 0),
            (2_999_990, None),
            (2_999_990, 50),
            (3_000_000, None),
            (4_000_000, 5),
            (1, 2_000_000),
        ],
    )
    def test_a_range_is_exact(self, storage: StorageAdapter, offset: int, length: int | None) -> None:
        body = random.Random(2).randbytes(3_000_000)
        storage.put("ranged", [body])
        expected = body[offset : None if length is None else offset + length]
        assert content(storage, "ranged", offset=offset, length=length) == expected

    def test_reading_may_stop_early(self, storage: StorageAdapter) -> None:
        storage.put("large", [b"x" * 5_000_000])
        for chunk in storage.get("large"):
            assert len(chunk) > 0
            break
        storage.delete("large")
        assert list(storage.list()) == []

    def test_a_missing_object_is_said_to_be_missing(self, storage: StorageAdapter) -> None:
        storage.put("there", [b"x"])
        for key in ("missing", "no/such/folder"):
            with pytest.raises(ObjectNotFound):
                content(storage, key)

    # --- what has a key ---

    def test_an_object_is_present_and_what_was_never_put_is_not(self, storage: StorageAdapter) -> None:
        storage.put("job/1/backup.lock", [])
        assert storage.present("job/1/backup.lock")
        for key in ("job/1/backup", "job/1/backup.loc", "job/2/backup.lock", "other/1/backup.lock"):
            assert not storage.present(key)
        storage.delete("job/1/backup.lock")
        assert not storage.present("job/1/backup.lock")

    def test_a_key_is_taken_by_what_lies_below_it(self, storage: StorageAdapter) -> None:
        storage.put("job/1/backup.lock/inside", [b"x"])
        assert storage.present("job/1/backup.lock")
        assert storage.present("job")

    def test_what_cannot_be_looked_up_is_an_error_and_not_absent(self, broken: StorageAdapter) -> None:
        with pytest.raises((StorageError, ConnectionError)) as failure:
            broken.present("b/backup.lock")
        assert failure.value.hint

    # --- deleting ---

    def test_a_deleted_object_is_gone_and_its_neighbours_stay(self, storage: StorageAdapter) -> None:
        for key in ("job/1/a", "job/1/b", "job/2/a"):
            storage.put(key, [b"x"])
        storage.delete("job/1/a")
        assert keys(storage) == ["job/1/b", "job/2/a"]

    def test_a_key_is_free_again_after_its_object_is_deleted(self, storage: StorageAdapter) -> None:
        storage.put("job/1/a", [b"old"])
        storage.delete("job/1/a")
        storage.put("job/1/a", [b"new"])
        assert content(storage, "job/1/a") == b"new"

    def test_deleting_a_missing_object_is_said(self, storage: StorageAdapter) -> None:
        storage.put("job/there", [b"x"])
        for key in ("missing", "job/missing", "no/such/folder", "job"):
            with pytest.raises(ObjectNotFound):
                storage.delete(key)
        assert keys(storage) == ["job/there"]

    # --- keys ---

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_any_name_makes_the_round_trip(self, storage: StorageAdapter, key: str) -> None:
        storage.put(key, [b"odd"])
        assert keys(storage) == [key]
        assert content(storage, key) == b"odd"
        storage.delete(key)
        assert list(storage.list()) == []

    @pytest.mark.parametrize("key", WRONG_KEYS)
    def test_a_key_that_could_lead_elsewhere_is_refused(self, storage: StorageAdapter, key: str) -> None:
        for use in (
            lambda: storage.put(key, [b"x"]),
            lambda: content(storage, key),
            lambda: storage.delete(key),
            lambda: storage.present(key),
        ):
            with pytest.raises(AdapterError):
                use()
        assert list(storage.list()) == []

    def test_a_storage_draws_the_chunks_once(self, storage: StorageAdapter) -> None:
        drawn: list[int] = []

        def counted() -> Chunks:
            for number in range(5):
                drawn.append(number)
                yield b"x"

        storage.put("once", counted())
        assert drawn == [0, 1, 2, 3, 4]
