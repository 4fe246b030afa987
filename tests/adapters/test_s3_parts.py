"""The sizes of parts, and the memory that they share."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.storage.s3 import S3Config
from adapters.storage.s3.parts import LARGEST_PART, Body, PartPlan, Room, Stopped, in_parts
from core.errors import StorageError

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
DEFAULT = PartPlan(16 * MIB, 10_000, 5 * TIB)


def test_ten_thousand_parts_reach_five_tebibytes_and_no_part_is_too_large() -> None:
    sizes = [DEFAULT.size(number) for number in range(1, 10_001)]
    assert sum(sizes) >= 5 * TIB
    assert max(sizes) < 2.2 * GIB < LARGEST_PART


def test_the_first_half_of_the_parts_has_one_size_so_that_memory_is_flat() -> None:
    assert {DEFAULT.size(number) for number in range(1, 5_001)} == {16 * MIB}
    assert 5_000 * 16 * MIB > 78 * GIB


@given(first=st.integers(5 * MIB, GIB), parts=st.integers(2, 10_000), gib=st.integers(1, 5 * 1024))
def test_parts_never_shrink_and_reach_the_largest_object_unless_the_protocol_forbids(
    first: int, parts: int, gib: int
) -> None:
    plan = PartPlan(first, parts, gib * GIB)
    sizes = [plan.size(number) for number in range(1, parts + 1)]
    assert sizes == sorted(sizes)
    assert sum(sizes) >= gib * GIB or sizes[-1] == LARGEST_PART


@given(st.lists(st.binary(max_size=40)))
def test_chunks_of_any_size_become_full_parts_and_one_last(chunks: list[bytes]) -> None:
    room = Room(1_000)
    parts = []
    for part in in_parts(chunks, PartPlan(16, 1_000, 16), room):
        parts.append(bytes(part.content))
        room.give_back(part.buffer)
    assert b"".join(parts) == b"".join(chunks)
    assert {len(part) for part in parts[:-1]} <= {16}


def test_more_than_the_parts_can_hold_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(StorageError, match="2 parts") as refused:
        list(in_parts([b"x" * 33], PartPlan(16, 2, 32), Room(1_000)))
    assert "part_size" in refused.value.hint


def test_a_part_waits_for_memory_that_others_hold() -> None:
    room = Room(10)
    held, taken = room.take(8), []
    waiter = Thread(target=lambda: taken.append(room.take(8)))
    waiter.start()
    assert taken == []
    room.give_back(held)
    waiter.join(30)
    assert taken[0] is held


def test_a_part_larger_than_the_budget_travels_alone() -> None:
    assert len(Room(10).take(1_000)) == 1_000


def test_a_stopped_body_gives_no_more_bytes() -> None:
    stop = Event()
    body = Body(memoryview(b"x" * MIB), stop)
    assert body.read(1)
    stop.set()
    with pytest.raises(Stopped):
        body.read(1)


def test_a_piece_leaves_a_line_of_32_kilobits_per_second_within_the_timeout() -> None:
    piece = Body(memoryview(bytes(MIB)), Event()).read(1 << 14)
    assert len(piece) <= 4_000 * S3Config(bucket="backups").connect_timeout
