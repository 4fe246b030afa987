"""The storage itself: keys below a prefix, and the promises of every storage.

boto3 is imported when the bucket is first used: a command that only names it does not pay for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from adapters.storage.keys import parts_of
from adapters.storage.s3.config import S3Config
from core.errors import ConfigurationError, ObjectNotFound, StorageError
from core.ports import StoredObject
from core.streams import Chunk, Chunks

if TYPE_CHECKING:
    from botocore.credentials import RefreshableCredentials

    from adapters.storage.s3.bucket import Bucket
    from adapters.storage.s3.receipt import Arrival


class S3:
    """Objects in a bucket, below one prefix."""

    kind: ClassVar[str] = "s3"
    label: ClassVar[str] = "S3 bucket"
    schemes: ClassVar[tuple[str, ...]] = ("s3",)
    config_type: ClassVar[type[S3Config]] = S3Config
    hashed_on_arrival: ClassVar[str] = "checked by the server on receipt"

    def __init__(self, config: S3Config, role: RefreshableCredentials | None = None) -> None:
        """``role`` are credentials that renew themselves; they go before those of the configuration."""
        self._config = config
        self._role = role
        self._root = f"{config.prefix}/" if config.prefix else ""
        self._arrivals: dict[str, Arrival] = {}  # of what this adapter has put, by key

    def describe(self) -> str:
        """The bucket and prefix, and the endpoint if it is not Amazon's own."""
        where = f" at {self._config.endpoint}" if self._config.endpoint else ""
        return f"s3://{self._config.bucket}/{self._config.prefix}{where}"

    def identity(self) -> str:
        """Endpoint, bucket and prefix. Raises ConfigurationError."""
        return f"s3:{self._bucket.place.endpoint}/{self._config.bucket}/{self._config.prefix}"

    def check(self) -> None:
        """Prove by doing it that objects can be written, listed, read back and deleted.

        The object of the proof is not put under the configured lock. Raises StorageError or ConnectionError.
        """
        from adapters.storage.s3.upload import Upload

        key, written = f".check-{secrets.token_hex(8)}", secrets.token_bytes(64)
        Upload(self._bucket, self._full(key), locked=False).run([written])
        try:
            listed = [found.key for found in self.list(key)]
            read = b"".join(bytes(chunk) for chunk in self.get(key))
        finally:
            self._bucket.delete(self._full(key))
        if (listed, read) != ([key], written):
            raise StorageError(
                f"{self.describe()} does not list or give back what was written",
                hint="it is no S3 server that backups can rely on",
            )

    def free_space(self) -> None:
        """A bucket has no end that anybody can tell."""
        return

    def put(self, key: str, chunks: Chunks) -> None:
        """Store an object whole or not at all. Raises ObjectExists, StorageFull, StorageError or ConnectionError.

        Whatever the chunks raise is passed on, and nothing is left behind.
        """
        from adapters.storage.s3.upload import Upload

        arrival = Upload(self._bucket, self._full(key)).run(chunks)
        if arrival:
            self._arrivals[key] = arrival

    def arrived_sha256(self, key: str) -> str | None:
        """The SHA-256 in hex of what the server has checked on receipt and holds still; else None."""
        arrival = self._arrivals.get(key)
        if arrival is None or (head := self._bucket.head(self._full(key))) is None:
            return None
        return arrival.sha256 if arrival.is_told_of_by(head) else None

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        """The bytes from ``offset`` on, at most ``length``. Raises ObjectNotFound."""
        full = self._full(key)
        if length == 0:
            self._require(full)  # a range of nothing cannot be asked for
            return
        from adapters.storage.s3.download import Download

        yield from Download(self._bucket, full).run(offset, None if length is None else offset + length)

    def present(self, key: str) -> bool:
        """Whether an object has this key, or anything lies below it. Raises StorageError or ConnectionError."""
        full = self._full(key)
        return self._bucket.holds_below(f"{full}/") or self._bucket.head(full) is not None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key starts with ``prefix``, by key; all pages are read before the first is given.

        What others keep here under names that are no keys of ours, such as ``folder/``, is left out.
        """
        found = self._bucket.objects(self._root + prefix)
        own = (StoredObject(one.key.removeprefix(self._root), one.size, one.modified) for one in found)
        yield from sorted((one for one in own if _is_key(one.key)), key=lambda one: one.key)

    def delete(self, key: str) -> None:
        """Remove an object. Raises ObjectNotFound, or ObjectLocked where the server keeps it."""
        full = self._full(key)
        self._bucket.require_unlocked(full, self._require(full))
        self._bucket.delete(full)
        self._arrivals.pop(key, None)

    def parts(self) -> Sequence[StoredObject]:
        """The unfinished multipart uploads of backups, by key. Raises StorageError or ConnectionError."""
        from adapters.storage.s3.unfinished import unfinished

        return sorted(unfinished(self._bucket, self._root), key=lambda part: part.key)

    def drop_part(self, key: str) -> None:
        """Abort an unfinished upload. Raises StorageError for every other name, or ConnectionError."""
        from adapters.storage.s3.unfinished import drop

        drop(self._bucket, self._root, key)

    @cached_property
    def _bucket(self) -> Bucket:
        if self._config.credentials:
            raise ConfigurationError(
                f"the credentials '{self._config.credentials}' of {self.describe()} were not opened",
                hint="use the storage by its saved name or its URL",
            )
        from adapters.storage.s3.bucket import Bucket

        return Bucket(self._config, self._role)

    def _full(self, key: str) -> str:
        parts_of(key)
        return self._root + key

    def _require(self, full: str) -> dict[str, object]:
        """What the server says about an object. Raises ObjectNotFound, or what is wrong with the bucket."""
        head = self._bucket.head(full)
        if head is None:
            self._bucket.require()
            raise ObjectNotFound(f"{self.describe()} holds no object {full!r}", hint="list what it holds")
        return dict(head)


def _is_key(key: str) -> bool:
    try:
        parts_of(key)
    except StorageError:
        return False
    return True
