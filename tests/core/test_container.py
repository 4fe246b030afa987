from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.compression import Algorithm
from core.container import MAGIC, Header, ProfileKey, read_header, seal, unseal
from core.errors import (
    DamagedChunk,
    DamagedHeader,
    DBackupError,
    EncryptionError,
    MisplacedChunk,
    TrailingData,
    TruncatedObject,
    UnsupportedFormat,
    WrongKey,
)
from core.streams import CHUNK_SIZE, Chunk
from tests.core.chopping import chopped, collected

KEY = ProfileKey("production", b"0123456789abcdef" * 2)
KEYS = {KEY.key_id: KEY}
SMALL = 1024  # bytes of plaintext in a chunk, the least a reader accepts
SEALED = SMALL + 16
SIZES = st.lists(st.integers(0, 3 * SMALL), max_size=6)


def sealed(plain: bytes, chunk_size: int = SMALL) -> bytes:
    return collected([plain], seal(KEY, Algorithm.NONE, chunk_size=chunk_size))


def opened(data: bytes) -> bytes:
    return collected([data], unseal(KEYS))


def body(data: bytes) -> int:
    return 12 + int.from_bytes(data[8:12], "big")


def parts(data: bytes) -> tuple[bytes, list[bytes]]:
    start = body(data)
    return data[:start], [data[at : at + SEALED] for at in range(start, len(data), SEALED)]


THREE_CHUNKS = sealed(bytes(3 * SMALL))


# --- what goes in comes out -------------------------------------------------------------------------------


@given(size=st.integers(0, 5 * SMALL), cuts=SIZES, other_cuts=SIZES)
@example(size=0, cuts=[], other_cuts=[])
@example(size=1, cuts=[], other_cuts=[1])
@example(size=SMALL - 1, cuts=[], other_cuts=[])
@example(size=SMALL, cuts=[SMALL], other_cuts=[])
@example(size=SMALL + 1, cuts=[SMALL], other_cuts=[])
@example(size=2 * SMALL, cuts=[SMALL, SMALL], other_cuts=[])
def test_what_is_sealed_comes_back_however_it_is_cut_up(size: int, cuts: list[int], other_cuts: list[int]) -> None:
    plain = bytes(index % 251 for index in range(size))
    stored = collected(chopped(plain, cuts), seal(KEY, Algorithm.ZSTD, chunk_size=SMALL))
    assert collected(chopped(stored, other_cuts), unseal(KEYS)) == plain


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE])
def test_an_object_has_exactly_the_bytes_the_format_says(size: int) -> None:
    plain = bytes(size)
    stored = sealed(plain, CHUNK_SIZE)
    assert len(stored) == body(stored) + size + 16 * max(1, -(-size // CHUNK_SIZE))
    assert opened(stored) == plain


def test_two_objects_of_one_plaintext_share_nothing() -> None:
    stage = seal(KEY, Algorithm.NONE, chunk_size=SMALL)
    first, second = collected([b"text"], stage), collected([b"text"], stage)
    assert read_header([first]).salt != read_header([second]).salt
    assert first[body(first) :] != second[body(second) :]


def test_the_header_can_be_shown_without_a_key() -> None:
    header = read_header(chopped(sealed(b"text"), [3, 5, 7]))
    assert (header.profile, header.key_id, header.compression) == ("production", KEY.key_id, Algorithm.NONE)


def test_fields_of_the_header_that_are_not_known_are_ignored() -> None:
    header = Header(KEY.key_id, "production", Algorithm.ZSTD, bytes(32))
    fields = json.loads(header.to_bytes()) | {"comment": "from a later version"}
    assert Header.parse(json.dumps(fields).encode()) == header


# --- every change is noticed ------------------------------------------------------------------------------


def test_every_flipped_bit_of_an_object_is_noticed() -> None:
    stored = bytearray(sealed(b"text"))
    for at, bit in itertools.product(range(len(stored)), range(8)):
        stored[at] ^= 1 << bit
        with pytest.raises(DBackupError):
            opened(bytes(stored))
        stored[at] ^= 1 << bit


@given(at=st.integers(0, len(THREE_CHUNKS) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_many_chunks_is_noticed(at: int, bit: int) -> None:
    stored = bytearray(THREE_CHUNKS)
    stored[at] ^= 1 << bit
    with pytest.raises(DBackupError):
        opened(bytes(stored))


def test_every_cut_of_an_object_is_noticed() -> None:
    stored = sealed(b"text")
    for length in range(len(stored)):
        with pytest.raises(TruncatedObject):
            opened(stored[:length])


@given(length=st.integers(0, len(THREE_CHUNKS) - 1))
@example(length=body(THREE_CHUNKS))
@example(length=body(THREE_CHUNKS) + SEALED)
@example(length=body(THREE_CHUNKS) + SEALED + 7)
@example(length=body(THREE_CHUNKS) + 2 * SEALED)
@example(length=body(THREE_CHUNKS) + 3 * SEALED - 1)
def test_a_cut_anywhere_in_many_chunks_is_noticed(length: int) -> None:
    with pytest.raises(TruncatedObject):
        opened(THREE_CHUNKS[:length])


@settings(max_examples=30)
@given(size=st.integers(1, 3 * SMALL), junk=st.binary(min_size=1, max_size=3 * SMALL))
def test_bytes_after_the_end_are_called_so(size: int, junk: bytes) -> None:
    with pytest.raises(TrailingData):
        opened(sealed(bytes(size)) + junk)


@given(order=st.permutations(range(5)).filter(lambda order: order != list(range(5))))
def test_chunks_in_another_order_are_called_misplaced(order: list[int]) -> None:
    header, chunks = parts(sealed(bytes(5 * SMALL)))
    with pytest.raises(MisplacedChunk):
        opened(header + b"".join(chunks[index] for index in order))


def test_nothing_is_released_before_its_tag_is_verified() -> None:
    stored = bytearray(sealed(b"a" * SMALL + b"b" * SMALL + b"c" * SMALL))
    stored[body(stored) + SEALED + 5] ^= 1
    released = bytearray()
    with pytest.raises(DamagedChunk):
        for chunk in unseal(KEYS)([bytes(stored)]):
            released += chunk
    assert released == b"a" * SMALL


# --- each kind of damage has its name ---------------------------------------------------------------------


def without(index: int, data: bytes) -> bytes:
    header, chunks = parts(data)
    return header + b"".join(chunks[:index] + chunks[index + 1 :])


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("chunk", range(4))
def test_a_changed_chunk_is_named_by_its_number_and_place(chunk: int) -> None:
    stored = sealed(bytes(4 * SMALL))
    start = body(stored) + chunk * SEALED
    for at in (start, start + 500, start + SEALED - 1):
        with pytest.raises(DamagedChunk, match=rf"chunk {chunk} \(byte {start} of the object\)"):
            opened(flipped(stored, at))


def test_a_changed_header_is_told_from_a_changed_chunk() -> None:
    stored = sealed(bytes(3 * SMALL))
    with pytest.raises(DamagedHeader):
        opened(flipped(stored, stored.index(b'"salt":"') + 10))


def test_a_missing_chunk_in_the_middle_is_a_misplaced_one() -> None:
    with pytest.raises(MisplacedChunk, match="chunk 2 stands in the place of chunk 1"):
        opened(without(1, sealed(bytes(4 * SMALL))))


def test_a_missing_last_chunk_is_a_truncation() -> None:
    with pytest.raises(TruncatedObject, match=r"chunk 2 .* is not its last"):
        opened(without(3, sealed(bytes(4 * SMALL))))


def test_a_chunk_of_another_object_of_the_same_key_does_not_open() -> None:
    (header, chunks), (_, others) = parts(sealed(bytes(3 * SMALL))), parts(sealed(bytes(3 * SMALL)))
    with pytest.raises(DamagedChunk):
        opened(header + chunks[0] + others[1] + chunks[2])


def test_a_wrong_key_is_recognised_before_anything_is_decrypted() -> None:
    other = ProfileKey.generate("production")
    with pytest.raises(WrongKey, match=KEY.key_id):
        collected([sealed(b"text")], unseal({other.key_id: other}))


@pytest.mark.parametrize("data", [b"PGDMP\x01\x0e\x00 and more", b"\x28\xb5\x2f\xfd" * 4, b"x"])
def test_what_is_no_object_of_ours_is_not_supported(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        opened(data)


def test_a_newer_version_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match="version 2"):
        opened(MAGIC[:7] + b"\x02" + sealed(b"text")[8:])


def with_header(**changed: Any) -> bytes:
    stored = sealed(b"text")
    fields = json.loads(stored[12 : body(stored)]) | changed
    header = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return MAGIC + len(header).to_bytes(4, "big") + header + stored[body(stored) :]


@pytest.mark.parametrize(
    "changed",
    [
        {"aead": "AES-128-CBC"},
        {"compression": "lz4"},
        {"compression": ["zstd"]},
        {"chunk": 0},
        {"chunk": -1},
        {"chunk": 1 << 40},
        {"chunk": True},
        {"chunk": "1024"},
        {"profile": "x" * 70000},
    ],
)
def test_a_header_that_asks_for_the_unknown_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFormat):
        opened(with_header(**changed))


@pytest.mark.parametrize(
    "changed", [{"salt": "short"}, {"salt": "YQ=="}, {"salt": 1}, {"key_id": 7}, {"profile": None}]
)
def test_a_header_that_makes_no_sense_is_damaged(changed: dict[str, Any]) -> None:
    with pytest.raises(DamagedHeader):
        opened(with_header(**changed))


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b"7", b"\xff", b"[" * 60000])
def test_a_header_that_is_not_one_is_damaged(header: bytes) -> None:
    with pytest.raises(DamagedHeader):
        opened(MAGIC + len(header).to_bytes(4, "big") + header)


# --- keys, memory -----------------------------------------------------------------------------------------


def test_a_key_does_not_show_itself() -> None:
    assert "0123456789abcdef" not in repr(KEY)
    assert KEY.key.hex() not in repr(KEY)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused_without_showing_it(length: int) -> None:
    with pytest.raises(EncryptionError, match=f"has {length} bytes") as refused:
        ProfileKey("production", b"\xab" * length)
    assert "abab" not in repr(refused.value)


def test_new_keys_differ() -> None:
    assert ProfileKey.generate("a").key_id != ProfileKey.generate("a").key_id


def test_sealing_and_opening_hold_a_few_chunks_whatever_the_size() -> None:
    buffer = bytearray(CHUNK_SIZE)

    def endless(pieces: int) -> Iterator[Chunk]:
        for _ in range(pieces):
            yield buffer

    tracemalloc.start()
    for _ in unseal(KEYS)(seal(KEY, Algorithm.NONE)(endless(64))):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20
