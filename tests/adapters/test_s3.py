"""A bucket as a destination: the contract of every storage, on servers that share no line of code."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.storage.s3 import S3, S3Config
from core.errors import ObjectExists
from core.ports import StorageAdapter
from tests.adapters.storage_contract import StorageContract, content
from tests.servers.s3 import SWIFT_PAGE, S3Server

MIB = 1 << 20
PART = 5 * MIB  # the smallest that the protocol allows: the contract's large objects take several


def bucket_on(server: S3Server, prefix: str | None = None, **options: Any) -> S3:
    """A storage of ours, in a place of its own unless one is named."""
    place = secrets.token_hex(8) if prefix is None else prefix
    return S3(S3Config.from_url(server.url(place, **{"part_size": PART, **options})))


class S3Contract(StorageContract):
    """The whole contract; nothing half-sent is left on the server either."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    @pytest.fixture
    def storage(self, server: S3Server) -> Iterator[S3]:
        yield bucket_on(server)
        assert server.unfinished() == []

    @pytest.fixture
    def broken(self, server: S3Server) -> S3:
        """It held an object, and its key has been revoked since."""
        bucket_on(server, "revoked").put(secrets.token_hex(4), [b"x"])
        return S3(S3Config.from_url(server.url("revoked").replace(server.secret, "no-longer-the-secret")))

    def test_of_two_writers_of_one_key_exactly_one_wins(self, storage: StorageAdapter) -> None:
        """Whoever publishes first wins, however long the other has been at it.

        Two requests within milliseconds are beyond both of these servers: Swift looks when a request begins, rclone
        does not look at all. That is said on the page of this storage.
        """
        for size in (1_000, 2 * PART + 1):
            key = f"race-{size}"

            def overtaken(key: str = key, size: int = size) -> Iterator[bytes]:
                yield b"1" * (size - 1)
                storage.put(key, [b"the first to finish"])
                yield b"1"

            with pytest.raises(ObjectExists):
                storage.put(key, overtaken())
            assert content(storage, key) == b"the first to finish"


class TestOnSwift(S3Contract):
    """OpenStack Swift refuses keys that are taken, and checks the SHA-256 of what arrives."""

    many = 3 * SWIFT_PAGE + 1

    @pytest.fixture
    def server(self, swift: S3Server) -> S3Server:
        return swift


class TestOnRclone(S3Contract):
    """rclone checks the MD5 of what arrives, and overwrites what it is told to, condition or not."""

    @pytest.fixture
    def server(self, rclone: S3Server) -> S3Server:
        return rclone
