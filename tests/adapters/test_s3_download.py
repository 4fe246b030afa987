"""An object is read by several ranges at a time: in order, of one object, in bounded memory, and with an end."""

from __future__ import annotations

import random
import secrets
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapters.storage.s3 import S3, S3Config, download
from core.errors import ConnectionError, ObjectNotFound, StorageError
from tests.adapters.storage_contract import content
from tests.servers.proxy import Proxy, proxied
from tests.servers.s3 import BUCKET, S3Server
from tests.waiting import until

MIB = 1 << 20
RANGE = MIB
BODY = random.Random(3).randbytes(20 * MIB + 12_345)


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ranges in a small object."""
    monkeypatch.setattr(download, "RANGE", RANGE)


@pytest.fixture
def network(swift: S3Server) -> Iterator[Proxy]:
    with proxied(swift.port) as proxy:
        yield proxy


@pytest.fixture
def place() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def storage(swift: S3Server, network: Proxy, place: str) -> S3:
    """A bucket that holds an object of many ranges, over a network that can be made bad."""
    swift.client().put_object(Bucket=BUCKET, Key=f"{place}/large", Body=BODY)
    return S3(S3Config.from_url(swift.url(place, port=network.port)))


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("s3-download")]


def without(storage: S3, parameter: str) -> None:
    """Have the storage talk to a server that does not understand a parameter of reading."""
    storage._bucket.client.meta.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: params.pop(parameter, None)
    )


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, None), (1, RANGE), (RANGE - 1, 2), (5, 9 * RANGE), (0, 3 * RANGE), (7 * RANGE, 100 * RANGE)],
)
def test_ranges_come_in_order_and_are_exact(storage: S3, offset: int, length: int | None) -> None:
    expected = BODY[offset : None if length is None else offset + length]
    assert content(storage, "large", offset=offset, length=length) == expected


def test_what_lies_in_one_range_is_one_request_and_no_thread(storage: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ThreadPoolExecutor", None)
    asked: list[str] = []
    storage._bucket.client.meta.events.register("before-send.s3.GetObject", lambda request, **_: asked.append("once"))
    storage.put("small", [b"x" * RANGE])
    assert content(storage, "small") == b"x" * RANGE
    assert asked == ["once"]


def test_ranges_whose_connections_break_are_taken_up_again(storage: S3, network: Proxy) -> None:
    network.cut(received=RANGE // 3, times=12)
    assert content(storage, "large") == BODY


def test_a_range_that_always_breaks_ends_the_download_after_all_before_it(storage: S3, network: Proxy) -> None:
    came = bytearray()
    with pytest.raises(ConnectionError, match="hung up") as failure:
        for chunk in storage.get("large"):
            came += chunk
            if len(came) == 2 * RANGE:
                network.cut(received=10_000, times=1_000)
    assert not failure.value.permanent
    assert BODY.startswith(bytes(came))
    until(lambda: not readers(), "the threads of the download to end")


@pytest.mark.parametrize("understood", [True, False], ids=["If-Match", "no If-Match"])
def test_an_object_that_is_replaced_while_it_is_read_is_an_error(
    swift: S3Server, storage: S3, place: str, understood: bool
) -> None:
    if not understood:
        without(storage, "IfMatch")
    reading = storage.get("large")
    next(reading)
    swift.client().put_object(Bucket=BUCKET, Key=f"{place}/large", Body=BODY[::-1])
    with pytest.raises(StorageError, match="was replaced while it was read") as failure:
        list(reading)
    assert not failure.value.permanent


def test_an_object_that_shrinks_while_it_is_read_is_an_error(swift: S3Server, storage: S3, place: str) -> None:
    without(storage, "IfMatch")
    reading = storage.get("large")
    next(reading)
    swift.client().put_object(Bucket=BUCKET, Key=f"{place}/large", Body=b"little")
    with pytest.raises(StorageError, match="was replaced while it was read"):
        list(reading)


def test_an_object_that_is_deleted_while_it_is_read_is_an_error(swift: S3Server, storage: S3, place: str) -> None:
    reading = storage.get("large")
    next(reading)
    swift.client().delete_object(Bucket=BUCKET, Key=f"{place}/large")
    with pytest.raises(ObjectNotFound):
        list(reading)


def test_a_server_without_ranges_is_no_server_for_large_objects(storage: S3) -> None:
    without(storage, "Range")
    storage.put("small", [b"x" * 1000])
    assert content(storage, "small") == b"x" * 1000
    for use in (lambda: content(storage, "large"), lambda: content(storage, "small", offset=10)):
        with pytest.raises(StorageError, match=r"other bytes of .* than were asked for"):
            use()


@pytest.mark.parametrize("end", [lambda reading: reading.close(), lambda _: None], ids=["closed", "forgotten"])
def test_whoever_stops_early_has_read_a_few_ranges_and_leaves_no_thread(
    storage: S3, network: Proxy, end: Callable[[Any], None]
) -> None:
    reading = storage.get("large")
    next(reading)
    end(reading)
    del reading
    until(lambda: not readers(), "the threads of the download to end")
    assert network.carried["received"] < (download.AHEAD + 2) * RANGE


def test_a_silent_server_does_not_hold_up_whoever_stops_reading(swift: S3Server, storage: S3, network: Proxy) -> None:
    reading = storage.get("large")
    next(reading)
    until(lambda: network.carried["received"] > (download.AHEAD + 1) * RANGE, "all that is read ahead to come")
    network.silent = True
    next(reading)  # is there, and lets one more range be asked for
    reading.close()  # type: ignore[attr-defined]
    assert readers(), "it waited for the server, which is silent"
    network.heal()
    until(lambda: not readers(), "the threads of the download to end")


def test_a_download_takes_no_more_memory_than_its_ranges_that_travel(rclone: S3Server, place: str) -> None:
    rclone.client().put_object(Bucket=BUCKET, Key=f"{place}/large", Body=BODY * 3)
    storage = S3(S3Config.from_url(rclone.url(place)))
    storage.identity()
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in storage.get("large"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 3 * len(BODY)
    # Each range has its buffer, and each thread that fills one a piece of an answer.
    assert peak < (download.AHEAD + 1) * RANGE + download.AHEAD * download.PIECE + 4 * MIB
