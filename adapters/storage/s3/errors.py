"""What boto3 raises, said to people: the one place where its errors become ours.

No cause is kept: a request that is part of one may carry credentials. What a server says is repeated in one line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3.exceptions
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from core.errors import (
    AdapterError,
    ConfigurationError,
    ConnectionError,
    DBackupError,
    ObjectExists,
    ObjectLocked,
    ObjectNotFound,
    StorageError,
    StorageFull,
)

MISSING = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})
_LOCKED = re.compile(r"object.?lock|retention|legal.?hold|WORM", re.IGNORECASE)
_FULL = re.compile(r"no space left|quota|storage.?full|insufficient.?storage", re.IGNORECASE)
_REFUSED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired", "401"}
)
_REGION = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"})
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})
_GARBLED = frozenset({"BadDigest", "XAmzContentChecksumMismatch"})  # of the content, by the checksum that went with it
_MISTAKEN = frozenset({"InvalidDigest", "XAmzContentSHA256Mismatch"})  # of the digest itself, or of what was signed
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "Forbidden"})
_PASSING = frozenset({"RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"})
_BUSY = frozenset({"SlowDown", "TooManyRequests", "Throttling", "ThrottlingException", "RequestLimitExceeded"})
_PASSING_STATUS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class Garbled(StorageError):
    """What arrived does not have the checksum that it was sent with."""


@dataclass(frozen=True)
class Place:
    """What the messages name: the endpoint and the bucket, and the timeouts that can run out, in seconds."""

    endpoint: str
    bucket: str
    connect_timeout: float
    read_timeout: float

    def __str__(self) -> str:
        return f"the bucket {self.bucket} at {self.endpoint}"

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Turn what boto3 raises into ours; ``what`` is a key, or says what was done."""
        try:
            yield
        except DBackupError:
            raise
        except ClientError as failure:
            renewing = failure.operation_name.startswith("AssumeRole")
            raise (self._withdrawn(failure) if renewing else self._answered(failure, what)) from None
        except (boto.BotoCoreError, urllib3.exceptions.HTTPError, ValueError, OSError) as failure:
            raise self._failed(failure, what) from None

    def _withdrawn(self, failure: ClientError) -> ConnectionError:
        """The refusal of the service that gives out roles, whose text names the account."""
        return ConnectionError(
            f"the role for {self} was refused when its session had to be renewed: {_parts(failure)[0]}",
            hint="look at the role's trust policy, and at the keys that assume it",
            permanent=True,
        )

    def _answered(self, failure: ClientError, what: str) -> AdapterError:
        """The server's own refusals."""
        code, said, status = _parts(failure)
        if code in MISSING:
            return ObjectNotFound(f"{self} holds no object {what}", hint="list what it holds")
        if code == "NoSuchBucket":
            return StorageError(f"there is no {_after_the(self)}", hint="create it, or correct the name in the URL")
        if code in _EXISTS or status == HTTPStatus.PRECONDITION_FAILED:
            return ObjectExists(f"{what} is already stored in {self}", hint="nothing is ever overwritten")
        if code == "RequestTimeTooSkewed":
            return StorageError(
                f"the clock of this machine and that of {self.endpoint} differ by more than the server allows",
                hint="set the clock, and keep it set with a time service such as chrony",
            )
        if code in _REFUSED or status == HTTPStatus.UNAUTHORIZED:
            return ConnectionError(
                f"{self.endpoint} refused the credentials for the bucket {self.bucket}: {code}, {said}",
                hint="check the access key and its secret; a session token may have expired",
                permanent=True,
            )
        return self._refused(failure, what)

    def _refused(self, failure: ClientError, what: str) -> AdapterError:
        code, said, status = _parts(failure)
        if code in _REGION or status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT):
            return StorageError(f"{self} is in another region: {code}, {said}", hint=_region_hint(failure))
        if _FULL.search(f"{code} {said}") or status == HTTPStatus.INSUFFICIENT_STORAGE:
            return StorageFull(
                f"{self} is full: {code}, {said}", hint="make room or raise the quota; nothing of the object was kept"
            )
        if code == "InvalidObjectState":
            return StorageError(
                f"{what} in {self} lies in an archive class and cannot be read at once",
                hint="have the provider restore it first, then try again",
            )
        if code in _DENIED or status == HTTPStatus.FORBIDDEN:
            return self._denied(said, what)
        if code in _GARBLED | _MISTAKEN:
            kind = Garbled if code in _GARBLED else StorageError
            return kind(
                f"what arrived of {what} in {self} is not what was sent: {code}",
                hint="try again; if it stays, a machine on the way changes the data",
                permanent=False,
            )
        return self._other(code, said, status, what)

    def _denied(self, said: str, what: str) -> AdapterError:
        if _LOCKED.search(said):
            return kept_by_lock(what, str(self), said)
        return StorageError(
            f"{self} denied access for {what}: {said}",
            hint="the key needs s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, s3:GetObject, "
            "s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on its objects",
        )

    def _other(self, code: str, said: str, status: int, what: str) -> AdapterError:
        if code == "NotImplemented" or status == HTTPStatus.NOT_IMPLEMENTED:
            return StorageError(
                f"{self} cannot do what was asked for {what}: {said}",
                hint="if it does not know conditional writes or checksums, set conditional_writes=false or "
                "request_checksum_calculation=when_required",
            )
        passing = code in _PASSING | _BUSY or status in _PASSING_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        hint = "try again later" if passing else "look the code up in the provider's documentation"
        return StorageError(f"{self} answered {what} with {code}: {said}", hint=hint, permanent=not passing)

    def _failed(self, failure: Exception, what: str) -> DBackupError:
        """What went wrong on this side of the wire, or on it."""
        match failure:
            case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.ProfileNotFound():
                return ConfigurationError(
                    f"there are no credentials for {self}",
                    hint="put them into the URL or a saved storage, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                )
            case boto.CredentialRetrievalError() | boto.TokenRetrievalError() | boto.MetadataRetrievalError():
                return ConnectionError(f"no credentials could be fetched for {self}", hint="check the role or profile")
            case boto.ParamValidationError() | boto.InvalidRegionError() | ValueError():
                return ConfigurationError(
                    f"the settings for {self} cannot be used: {_line(failure)}", hint="correct region and endpoint"
                )
            case boto.SSLError():
                return ConnectionError(
                    f"the certificate of {self.endpoint} is not trusted, or it does not speak TLS: {_line(failure)}",
                    hint="name the file of its certificate authority with ca_bundle=/path/to/ca.pem",
                    permanent=True,
                )
        return self._cut(failure, what)

    def _cut(self, failure: Exception, what: str) -> ConnectionError:
        match failure:
            case boto.ConnectTimeoutError():
                said = f"did not take a connection within {self.connect_timeout:g} seconds"
            case boto.ReadTimeoutError() | urllib3.exceptions.ReadTimeoutError() | TimeoutError():
                said = f"was silent for {self.read_timeout:g} seconds in the middle of {what}"
            case boto.EndpointConnectionError():
                said = "cannot be reached"
            case _:
                said = f"hung up in the middle of {what} ({type(failure).__name__})"
        return ConnectionError(f"{self.endpoint} {said}", hint="check the endpoint and the network, then try again")


def silence_credentials() -> None:
    """Keep the lines of botocore's search for credentials to itself: their tracebacks may quote them, unmasked.

    What matters of them is raised. A filter, because whoever configures logging later resets all else.
    """
    logging.getLogger("botocore.credentials").addFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def kept_by_lock(key: str, place: str, reason: str) -> ObjectLocked:
    """The refusal to delete what an object lock keeps."""
    return ObjectLocked(
        f"{key} in {place} is kept by an object lock: {reason}",
        hint="wait until the lock ends; a lock in governance mode can be taken away by an administrator of the bucket",
    )


def is_missing(failure: ClientError) -> bool:
    """Whether the answer is that there is no such object."""
    return _parts(failure)[0] in MISSING


def is_beyond_the_end(failure: ClientError) -> bool:
    """Whether a range was asked for that begins where the object has ended."""
    code, _, status = _parts(failure)
    return code == "InvalidRange" or status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def is_other_version(failure: ClientError) -> bool:
    """Whether the answer is that the object is not, or no more, the one that was asked for."""
    code, _, status = _parts(failure)
    return code == "PreconditionFailed" or status == HTTPStatus.PRECONDITION_FAILED


def _parts(failure: ClientError) -> tuple[str, str, int]:
    """Code, message and HTTP status of an answer, the message in one line."""
    error: dict[str, Any] = dict(failure.response.get("Error", {}))
    status = failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = " ".join(str(error.get("Message") or "no reason given").split())
    return str(error.get("Code", "")), said[:300], int(status)


def _region_hint(failure: ClientError) -> str:
    headers = failure.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    error: dict[str, Any] = dict(failure.response.get("Error", {}))
    region = headers.get("x-amz-bucket-region") or error.get("Region")
    return f"set region={region}" if region else "set region= to the bucket's own region, and the endpoint that fits it"


def _line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:300]


def _after_the(place: Place) -> str:
    return str(place).removeprefix("the ")
