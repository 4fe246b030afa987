"""An object on its way into a bucket: whole or not at all, never over another one, in bounded memory.

What fits into the first part is one PutObject; the rest is a multipart upload, which nobody sees before it is
completed. Whatever goes wrong, Ctrl-C included, parts on their way stop at their next write and the multipart upload
is aborted. Each upload marks its object with a token of its own: where the answer to the last request was lost, the
token tells whether the object that is there is this upload's, and one that should not be there is taken away again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from threading import Event
from typing import IO, TYPE_CHECKING, Any, cast

from adapters.storage.s3 import receipt
from adapters.storage.s3.bucket import TOKEN, Bucket
from adapters.storage.s3.parts import Body, Part, PartPlan, Room, in_parts
from adapters.storage.s3.receipt import Arrival
from adapters.storage.s3.unfinished import give_up
from core.errors import ConnectionError, DBackupError, ObjectExists, StorageError
from core.streams import Chunks

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef


class Upload:
    """One object. ``locked`` puts it under the lock that is configured."""

    def __init__(self, bucket: Bucket, key: str, *, locked: bool = True) -> None:
        config = bucket.config
        self._bucket = bucket
        self._client = bucket.client
        self._key = key
        self._names: dict[str, Any] = {"Bucket": bucket.name, "Key": key}
        self._token = secrets.token_hex(16)
        self._traits = {**bucket.traits(locked=locked), "Metadata": {TOKEN: self._token}}
        self._plan = PartPlan(config.part_size, config.max_parts, config.max_object_size)
        self._room = Room(config.uploads * config.part_size)
        self._stop = Event()

    def run(self, chunks: Chunks) -> Arrival | None:
        """Draw the chunks and store them; gives what the server is known to have checked, which is none of what fits
        into one request. Raises ObjectExists, and whatever the chunks raise.
        """
        parts = in_parts(chunks, self._plan, self._room)
        first = next(parts)
        self._require_free()  # as late as it can be, for servers that do not decide about the key themselves
        if first.is_full:
            return self._put_parts(chain((first,), parts))
        self._put_whole(first)
        return None

    def _require_free(self) -> None:
        if self._bucket.head(self._key) is not None:
            raise self._taken()

    def _taken(self) -> ObjectExists:
        return ObjectExists(
            f"{self._key!r} is already stored in {self._bucket.place}", hint="nothing is ever overwritten"
        )

    def _put_whole(self, part: Part) -> None:
        try:
            with self._bucket.guarded(repr(self._key)):
                sent = self._bucket.checksum(part.content)
                answer = self._client.put_object(
                    **self._names, **self._traits, **sent, **self._bucket.condition, Body=self._body(part)
                )
            self._bucket.require_arrived(repr(self._key), part.content, sent, answer)
        except (ObjectExists, ConnectionError):
            if not self._is_ours():
                raise
        except BaseException:
            self._withdraw()
            raise

    def _put_parts(self, parts: Iterator[Part]) -> Arrival | None:
        upload: str | None = None
        try:
            whole = hashlib.sha256() if receipt.is_seen(self._bucket, self._key) else None
            upload = self._begin()
            sent, size = self._send_all(upload, parts, whole)
            agrees = self._complete(upload, sent)
            self._require_stored(size)
        except BaseException:
            if upload is not None:
                give_up(self._bucket, self._key, upload)
            raise
        return Arrival(whole.hexdigest(), size, self._token) if whole and agrees else None

    def _begin(self) -> str:
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if self._bucket.checksummed else {}
        with self._bucket.guarded(repr(self._key)):
            return self._client.create_multipart_upload(**self._names, **self._traits, **algorithm)["UploadId"]

    def _send_all(
        self, upload: str, parts: Iterator[Part], whole: hashlib._Hash | None
    ) -> tuple[list[CompletedPartTypeDef], int]:
        """Send the parts, several at a time; gives what completing needs, and the object's size in bytes.

        The checksum of a part is taken before ``whole`` learns of it: what changes in memory between the two is found
        by the server, and what has changed before makes the whole another one.
        """
        sent: list[CompletedPartTypeDef] = []
        travelling: deque[Future[CompletedPartTypeDef]] = deque()
        size = 0
        with ThreadPoolExecutor(self._bucket.config.uploads, "s3-upload") as pool:
            try:
                for part in parts:
                    checksum = self._bucket.checksum(part.content)
                    if whole is not None:
                        whole.update(part.content)
                    size += part.size
                    travelling.append(pool.submit(self._send, upload, part, checksum))
                    while travelling and travelling[0].done():
                        sent.append(travelling.popleft().result())
                sent += [one.result() for one in travelling]
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return sent, size

    def _send(self, upload: str, part: Part, checksum: Mapping[str, Any]) -> CompletedPartTypeDef:
        """Send one part, and compare what the server says of it."""
        what = f"part {part.number:,} of {self._key!r}"
        try:
            with self._bucket.guarded(what):
                answer = self._client.upload_part(
                    **self._names, **checksum, UploadId=upload, PartNumber=part.number, Body=self._body(part)
                )
            self._bucket.require_arrived(what, part.content, checksum, answer)
        finally:
            self._room.give_back(part.buffer)
        completed: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": answer["ETag"]}
        if "ChecksumSHA256" in checksum:
            completed["ChecksumSHA256"] = checksum["ChecksumSHA256"]
        return completed

    def _complete(self, upload: str, parts: list[CompletedPartTypeDef]) -> bool:
        """Make the object appear. Where the server does not decide about the key, a last look is all there is.

        False when the server says of the whole object that its parts have other checksums than those that were sent.
        """
        self._require_free()
        answer: Mapping[str, Any] = {}
        try:
            with self._bucket.guarded(repr(self._key)):
                answer = self._client.complete_multipart_upload(
                    **self._names, **self._bucket.condition, UploadId=upload, MultipartUpload={"Parts": parts}
                )
        except (StorageError, ConnectionError):
            if not self._is_ours():
                raise
        return answer.get("ChecksumSHA256", "") in ("", receipt.composite(parts))

    def _require_stored(self, size: int) -> None:
        """Look at what lies there now. Raises ObjectExists when it bears another upload's token: both were completed,
        on a server that does not decide about the key, and the other one came last. It is left alone.
        """
        head = self._bucket.head(self._key)
        if head is not None and head.get("Metadata", {}).get(TOKEN, self._token) != self._token:
            raise self._taken()
        stored = head["ContentLength"] if head else 0
        if stored != size:
            self._withdraw()
            raise StorageError(
                f"{self._bucket.place} has stored {stored:,} of the {size:,} bytes of {self._key!r}",
                hint="try again; look into the server's log",
                permanent=False,
            )

    def _is_ours(self) -> bool:
        """Whether the object that is there, if any, is this upload's, all of which was sent."""
        head = self._bucket.head(self._key)
        return head is not None and self._marks(head)

    def _marks(self, head: Mapping[str, Any]) -> bool:
        return bool(head.get("Metadata", {}).get(TOKEN) == self._token)

    def _withdraw(self) -> None:
        """Take away what this upload has stored, and nothing else."""
        with suppress(DBackupError):
            if self._is_ours():
                self._bucket.delete(self._key)

    def _body(self, part: Part) -> IO[bytes]:
        return cast(IO[bytes], Body(part.content, self._stop))
