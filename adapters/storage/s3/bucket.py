"""One bucket through boto3: a client made from the configuration, and the calls that move no large object.

A bucket knows full keys only; the prefix is the adapter's. boto3 tries each request again by itself, at most
:data:`ATTEMPTS` times in all, when the connection breaks or the server asks for patience.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session as BotocoreSession

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.download import AHEAD
from adapters.storage.s3.errors import Place, is_missing, kept_by_lock, silence_credentials
from core.errors import StorageError
from core.ports import StoredObject

if TYPE_CHECKING:
    from botocore.credentials import RefreshableCredentials
    from types_boto3_s3 import S3Client

ATTEMPTS = 3  # of each request
DEFAULT_REGION = "us-east-1"  # what servers of one's own expect when none is configured
TOKEN = "dbackup-upload"  # noqa: S105  # metadata of every object: by it an upload knows its own again


class Bucket:
    """The calls. Raises only :mod:`core.errors`."""

    def __init__(self, config: S3Config, role: RefreshableCredentials | None = None) -> None:
        self.config = config
        self.name = config.bucket
        place = Place(config.endpoint or "Amazon S3", config.bucket, config.connect_timeout, config.read_timeout)
        silence_credentials()
        with place.guarded("the settings"):
            self.client: S3Client = _client(config, role)
        self.place = Place(self.client.meta.endpoint_url, config.bucket, config.connect_timeout, config.read_timeout)
        self.guarded = self.place.guarded
        self.checks: bool | None = None  # what it receives, as was seen; None until then

    def head(self, key: str) -> Mapping[str, Any] | None:
        """What the server says about an object, or None when there is none."""
        with self.guarded(repr(key)):
            try:
                return self.client.head_object(Bucket=self.name, Key=key)
            except ClientError as failure:
                if is_missing(failure):
                    return None
                self.require()  # an answer to HEAD has no body to give a reason in
                raise

    def require(self) -> None:
        """Raise when the bucket is missing or may not be listed; a missing object alone does not tell."""
        self.holds_below("")

    def holds_below(self, prefix: str) -> bool:
        """Whether the full key of any object starts with ``prefix``."""
        with self.guarded("a list of one object"):
            found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1)
        return bool(found.get("Contents"))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose full key starts with ``prefix``, page after page, as the server orders them."""
        with self.guarded("the list of objects"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield StoredObject(found["Key"], found["Size"], found["LastModified"].astimezone(UTC))

    def delete(self, key: str) -> None:
        """Remove an object; in a versioned bucket, hide it behind a delete marker."""
        with self.guarded(repr(key)):
            self.client.delete_object(Bucket=self.name, Key=key)

    def require_unlocked(self, key: str, head: Mapping[str, Any]) -> None:
        """Raise ObjectLocked when the object lock that the server told of still holds."""
        until = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            raise kept_by_lock(repr(key), str(self.place), "a legal hold")
        if until is not None and until > datetime.now(UTC):
            mode = str(head.get("ObjectLockMode", "")).lower()
            raise kept_by_lock(repr(key), str(self.place), f"{mode} mode, until {until:%Y-%m-%d %H:%M} UTC")

    # --- what goes with what is sent ---

    def traits(self, *, locked: bool) -> dict[str, Any]:
        """The parameters of a new object: class, encryption on the server, lock."""
        config = self.config
        traits = {
            "StorageClass": config.storage_class,
            "ServerSideEncryption": config.sse,
            "SSEKMSKeyId": config.sse_kms_key_id,
        }
        if locked and config.lock_days is not None:
            traits["ObjectLockMode"] = config.lock_mode
            traits["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=config.lock_days)  # type: ignore[assignment]
        return {name: value for name, value in traits.items() if value is not None}

    @property
    def condition(self) -> dict[str, Any]:
        """The parameter that lets a key be taken only while it is free."""
        return {"IfNoneMatch": "*"} if self.config.conditional_writes else {}

    @property
    def checksummed(self) -> bool:
        """Whether the server is sent, and asked for, SHA-256; else MD5, which every server knows."""
        return self.config.request_checksum_calculation == "when_supported"

    def checksum(self, content: memoryview) -> dict[str, Any]:
        """The parameter with which the server checks on receipt what has arrived."""
        if self.checksummed:
            return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64(hashlib.sha256(content))}
        return {"ContentMD5": base64(hashlib.md5(content, usedforsecurity=False))}

    def require_arrived(
        self, what: str, content: memoryview, sent: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> None:
        """Compare the server's answer with what was sent: its SHA-256, else an ETag that is an MD5.

        Raises StorageError, not permanent. An answer with neither of them proves nothing and passes: then only the
        server has compared, with the checksum that it was sent.
        """
        if (told := answer.get("ChecksumSHA256")) and "ChecksumSHA256" in sent:
            arrived = told == sent["ChecksumSHA256"]
        elif _is_md5(answer):
            arrived = answer["ETag"].strip('"').lower() == hashlib.md5(content, usedforsecurity=False).hexdigest()
        else:
            return
        if not arrived:
            raise StorageError(
                f"{self.place} has taken in {what} with another checksum than was sent",
                hint="try again; if it stays, the server or a machine on the way changes the data",
                permanent=False,
            )


def _is_md5(answer: Mapping[str, Any]) -> bool:
    """Whether the ETag is the content's MD5: not for what is encrypted with a key of a key service."""
    tag = str(answer.get("ETag", "")).strip('"')
    return len(tag) == 32 and not str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")


def base64(digest: hashlib._Hash) -> str:
    return b64encode(digest.digest()).decode()


@lru_cache(maxsize=1)
def _loader() -> Any:
    """What reads the description of S3, and keeps it: that takes six times as long as the rest of a client."""
    return BotocoreSession().get_component("data_loader")


@dataclass(frozen=True)
class _Role:
    """What a session asks for its credentials, in place of botocore's own search."""

    credentials: RefreshableCredentials = field(repr=False)

    def load_credentials(self) -> RefreshableCredentials:
        return self.credentials


def _client(config: S3Config, role: RefreshableCredentials | None) -> S3Client:
    secrets = (config.access_key_id, config.secret_access_key, config.session_token)
    key, secret, token = (one.get_secret_value() if one else None for one in secrets)
    own = BotocoreSession()
    own.register_component("data_loader", _loader())
    if role is not None:
        key = secret = token = None
        own.register_component("credential_provider", _Role(role))
    session = Session(
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, botocore_session=own
    )
    settings = Config(
        signature_version="s3v4",
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=max(config.uploads, AHEAD) + 2,
        request_checksum_calculation=config.request_checksum_calculation,
        response_checksum_validation="when_required",  # what is read is compared with the manifest
        s3={"addressing_style": "path" if config.path_style else "auto"},
    )
    return session.client(
        "s3",
        region_name=config.region or session.region_name or DEFAULT_REGION,
        endpoint_url=config.endpoint,
        verify=config.ca_bundle,
        config=settings,
    )
