from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.compression import Algorithm, Compression, compress, decompress
from core.errors import ConfigurationError, DamagedData, TrailingData, TruncatedObject
from core.streams import Chunk
from tests.core.chopping import chopped, collected

CHOICES = ["zstd:1", "zstd:3", "gzip:1", "gzip", "none"]
FRAMED = ["zstd:1", "zstd:3", "gzip"]
TOOLS = {"zstd": ("zstd", "-dcq"), "gzip": ("gunzip", "-c")}


def packed(choice: str, data: bytes) -> bytes:
    return collected([data], compress(Compression.parse(choice)))


def unpacked(choice: str, data: bytes) -> bytes:
    return collected([data], decompress(Compression.parse(choice).algorithm))


@pytest.mark.parametrize("choice", CHOICES)
@given(
    data=st.binary(max_size=300) | st.binary(max_size=20).map(lambda piece: piece * 10000),
    sizes=st.lists(st.integers(0, 400000), max_size=5),
)
def test_what_is_compressed_comes_back_however_it_is_cut_up(choice: str, data: bytes, sizes: list[int]) -> None:
    compression = Compression.parse(choice)
    stored = collected(chopped(data, sizes), compress(compression))
    assert collected(chopped(stored, sizes), decompress(compression.algorithm)) == data


@pytest.mark.parametrize("choice", [*FRAMED, "zstd:19"])
@pytest.mark.parametrize("data", [b"", b"a", os.urandom(3 << 20)], ids=["empty", "one byte", "3 MiB"])
def test_the_standard_tool_reads_what_is_compressed(choice: str, data: bytes) -> None:
    argv = TOOLS[choice.partition(":")[0]]
    if shutil.which(argv[0]) is None:
        pytest.fail(f"{argv[0]} is missing; install it with: apt-get install zstd gzip")
    assert subprocess.run(argv, input=packed(choice, data), capture_output=True, check=True).stdout == data


@pytest.mark.parametrize("choice", FRAMED)
def test_frames_one_after_another_are_read_as_one(choice: str) -> None:
    assert (
        unpacked(choice, packed(choice, b"first") + packed(choice, b"") + packed(choice, b"second")) == b"firstsecond"
    )


@pytest.mark.parametrize("choice", FRAMED)
def test_every_cut_of_a_frame_is_noticed(choice: str) -> None:
    stored = packed(choice, b"some text, some text")
    for length in range(len(stored)):
        with pytest.raises(TruncatedObject):
            unpacked(choice, stored[:length])


@pytest.mark.parametrize("choice", FRAMED)
@pytest.mark.parametrize("junk", [b"\n", b"\0" * 512, b"junk after the end", b"\x28\xb5", b"\x1f\x8b"])
def test_bytes_after_the_end_are_noticed(choice: str, junk: bytes) -> None:
    with pytest.raises(TrailingData):
        unpacked(choice, packed(choice, b"some text") + junk)


@pytest.mark.parametrize("choice", FRAMED)
def test_a_changed_byte_in_the_middle_is_noticed(choice: str) -> None:
    stored = bytearray(packed(choice, os.urandom(1000)))
    stored[500] ^= 1
    with pytest.raises(DamagedData):
        unpacked(choice, bytes(stored))


@pytest.mark.parametrize("choice", FRAMED)
def test_what_was_never_compressed_is_damaged(choice: str) -> None:
    with pytest.raises(DamagedData):
        unpacked(choice, b"PGDMP and so on")


@pytest.mark.parametrize("choice", FRAMED)
def test_a_stream_that_expands_a_thousand_times_comes_in_small_pieces(choice: str) -> None:
    bomb = packed(choice, bytes(64 << 20))
    tracemalloc.start()
    pieces = [len(piece) for piece in decompress(Compression.parse(choice).algorithm)([bomb])]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(pieces) == 64 << 20
    assert max(pieces) <= 1 << 20
    assert peak < 4 << 20


@pytest.mark.parametrize("choice", ["zstd:1", "gzip:1", "none"])
def test_compressing_holds_little_of_what_passes_through(choice: str) -> None:
    buffer = bytearray(os.urandom(1 << 20))

    def endless(pieces: int) -> Iterator[Chunk]:
        for _ in range(pieces):
            yield buffer

    tracemalloc.start()
    for _ in compress(Compression.parse(choice))(endless(32)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("text", "written"), [("zstd:3", "zstd:3"), ("zstd", "zstd:3"), ("gzip", "gzip:6"), ("none", "none")]
)
def test_a_choice_is_written_with_its_level(text: str, written: str) -> None:
    assert str(Compression.parse(text)) == written
    assert Compression.parse(written) == Compression.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ZSTD",
        "lz4",
        "zstd:",
        "zstd:0",
        "zstd:20",
        "zstd:-1",
        "zstd:3:3",
        "zstd:³",
        "gzip:0",
        "gzip:10",
        "none:0",
        "none:1",
    ],
)
def test_a_choice_that_does_not_exist_is_refused_and_never_replaced(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Compression.parse(text)
    assert refused.value.hint


@pytest.mark.parametrize(("choice", "suffix"), [("zstd", ".zst"), ("gzip", ".gz"), ("none", "")])
def test_each_algorithm_has_its_suffix(choice: str, suffix: str) -> None:
    assert Compression.parse(choice).suffix == Algorithm(choice).suffix == suffix


class Form(BaseModel):
    compression: Compression


def test_a_form_takes_and_gives_the_written_choice() -> None:
    form = Form.model_validate_json('{"compression": "gzip:9"}')
    assert form.compression == Compression(Algorithm.GZIP, 9)
    assert form.model_dump(mode="json") == {"compression": "gzip:9"}
    assert Form(compression=form.compression) == form


def test_a_form_refuses_a_choice_that_does_not_exist() -> None:
    with pytest.raises(ValidationError, match="no level 20"):
        Form.model_validate({"compression": "zstd:20"})


def test_a_form_describes_the_choice_as_text() -> None:
    assert TypeAdapter(Compression).json_schema() == {"type": "string"}


def test_gzip_frames_are_the_standard_library_s_too() -> None:
    assert gzip.decompress(packed("gzip", b"text")) == b"text"
    assert unpacked("gzip", gzip.compress(b"text")) == b"text"
