"""Multipart uploads that were begun and neither completed nor aborted, as a killed program leaves them.

Each is named by its object's key and the id that the server gave it: ``shop-1a2b3c4d/…/shop.dump.zst?uploadId=ID``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING

from adapters.storage.s3.bucket import Bucket
from core import naming
from core.errors import DBackupError, StorageError
from core.log import logger
from core.ports import StoredObject

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import MultipartUploadTypeDef, PartTypeDef

ID = "?uploadId="
log = logger(service="storage")


def unfinished(bucket: Bucket, root: str) -> Iterator[StoredObject]:
    """Those of backups below a root, each with the bytes that arrived and the time of the last of them.

    Whatever else is uploaded into the bucket is somebody else's. Raises StorageError or ConnectionError.
    """
    for upload in _begun(bucket, root):
        key, upload_id = upload["Key"], upload["UploadId"]
        if naming.parse_key(key.removeprefix(root)) and (parts := _arrived(bucket, key, upload_id)) is not None:
            last = max([upload["Initiated"], *(part["LastModified"] for part in parts)])
            size = sum(part["Size"] for part in parts)
            yield StoredObject(f"{key.removeprefix(root)}{ID}{upload_id}", size, last.astimezone(UTC))


def drop(bucket: Bucket, root: str, name: str) -> None:
    """Abort the upload of this name. Raises StorageError where it is none of :func:`unfinished`'s."""
    key, _, upload_id = name.rpartition(ID)
    if not naming.parse_key(key):
        raise StorageError(f"{name!r} is not the name of an unfinished upload", hint="only these can be dropped")
    abort(bucket, root + key, upload_id)


def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Have the server forget an upload and its parts; one that is gone already is no error."""
    with bucket.guarded(repr(key)), suppress(bucket.client.exceptions.NoSuchUpload):
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload_id)


def give_up(bucket: Bucket, key: str, upload_id: str) -> None:
    """Have the server forget an upload that failed; what it does not forget is not listed, and said in the log."""
    try:
        abort(bucket, key, upload_id)
    except DBackupError as failure:
        log.warning(
            "an unfinished upload could not be aborted; dbackup clean can, after a day",
            key=key,
            reason=failure.message,
        )


def _begun(bucket: Bucket, root: str) -> Iterator[MultipartUploadTypeDef]:
    pages = bucket.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=root)
    # rclone answers with NoSuchUpload where there never was one.
    with bucket.guarded("the list of unfinished uploads"), suppress(bucket.client.exceptions.NoSuchUpload):
        for page in pages:
            yield from page.get("Uploads", ())


def _arrived(bucket: Bucket, key: str, upload_id: str) -> list[PartTypeDef] | None:
    """The parts that the server has, or None when the upload was completed or aborted since it was listed."""
    pages = bucket.client.get_paginator("list_parts").paginate(Bucket=bucket.name, Key=key, UploadId=upload_id)
    with bucket.guarded(f"the parts of {key!r}"), suppress(bucket.client.exceptions.NoSuchUpload):
        return [part for page in pages for part in page.get("Parts", ())]
    return None
