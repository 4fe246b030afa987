"""What a server has checked of what it received: seen, not believed.

Many servers take the checksum that goes with a part and never look at it. Whether one compares is tried with a part
that is wrong: where that is refused, every part that is taken later has been checked on receipt.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.storage.s3.bucket import TOKEN, Bucket, base64
from adapters.storage.s3.errors import Garbled
from adapters.storage.s3.unfinished import give_up
from core.errors import DBackupError
from core.log import logger

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef

WRONG = b"what arrived"  # and not what its checksum says
log = logger(service="storage")


@dataclass(frozen=True)
class Arrival:
    """What a server has checked on receipt: its SHA-256 in hex, its size in bytes, and the token of its upload."""

    sha256: str
    size: int
    token: str

    def is_told_of_by(self, head: Mapping[str, Any]) -> bool:
        """Whether that is what lies there, by what the server says of it."""
        return bool(head.get("Metadata", {}).get(TOKEN) == self.token and head["ContentLength"] == self.size)


def is_seen(bucket: Bucket, key: str) -> bool:
    """Whether the bucket's server checks what it receives. It is tried with an upload to this key, until it is known.

    A server that answers with anything but a refusal of the checksum is none that checks. Nothing is raised: how an
    upload is proven must not decide whether there is one.
    """
    if bucket.checks is None and bucket.checksummed and not bucket.config.read_back:
        try:
            _send_what_is_wrong(bucket, key)
            bucket.checks = False
        except Garbled:
            bucket.checks = True
        except DBackupError as failure:
            log.info("not seen whether the server checks what it receives", key=key, reason=failure.message)
            bucket.checks = False if failure.permanent else None
    return bool(bucket.checks)


def _send_what_is_wrong(bucket: Bucket, key: str) -> None:
    """Send it, in an upload of its own: not every server lets a part that it has taken be replaced. Raises Garbled."""
    names: dict[str, Any] = {"Bucket": bucket.name, "Key": key}
    expected = base64(hashlib.sha256(b"what was meant"))
    with bucket.guarded(f"a part of {key!r} with a wrong checksum"):
        traits = bucket.traits(locked=False)
        upload = bucket.client.create_multipart_upload(**names, **traits, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            bucket.client.upload_part(
                **names, UploadId=upload, PartNumber=1, Body=WRONG, ChecksumAlgorithm="SHA256", ChecksumSHA256=expected
            )
        finally:
            give_up(bucket, key, upload)


def composite(parts: Iterable[CompletedPartTypeDef]) -> str:
    """What S3 calls the checksum of an object in parts: that of their checksums, and how many they are."""
    each = [b64decode(part.get("ChecksumSHA256", "")) for part in parts]
    return f"{base64(hashlib.sha256(b''.join(each)))}-{len(each)}"
