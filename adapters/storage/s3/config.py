"""How to reach a bucket, how objects are put into it, and what its provider allows.

Credentials are given here, or named (``credentials`` is a saved block of Prefect's, opened above the adapters), or
left to boto3's own chain: environment, shared files, the machine's role.
"""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from adapters import server_urls
from adapters.storage.keys import parts_of
from core.errors import ConfigurationError, StorageError
from core.fields import RECEIVES

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
HINT = "write s3://bucket/prefix?endpoint=https://host:9000&region=eu-central-1, with %2F for a / in a secret"


class S3Config(BaseModel):
    """One bucket, or what lies under ``prefix`` in it.

    Timeouts are in seconds: for the connection, and for silence within an answer. Sizes are in bytes: ``part_size``
    is that of the first half of ``max_parts``; later ones grow, so that they reach ``max_object_size``.
    ``uploads`` parts travel at the same time. ``lock_days`` puts every object under a lock of ``lock_mode``.
    ``read_back`` has every new object read back, also from a server that checks what it receives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bucket: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")
    prefix: str = ""
    endpoint: str | None = Field(
        default=None, description="Empty: Amazon's own.", examples=["https://host:9000"], json_schema_extra=RECEIVES
    )
    region: str | None = None
    path_style: bool = False
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    credentials: str | None = None
    ca_bundle: str | None = None
    connect_timeout: float = Field(default=10, gt=0, le=3600)
    read_timeout: float = Field(default=60, gt=0, le=3600)
    request_checksum_calculation: Literal["when_supported", "when_required"] = "when_supported"
    conditional_writes: bool = True
    storage_class: str | None = None
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    sse_kms_key_id: str | None = None
    lock_days: int | None = Field(default=None, ge=1, le=36500)
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    part_size: int = Field(default=16 * MIB, ge=5 * MIB, le=5 * GIB)
    max_parts: int = Field(default=10_000, ge=2, le=10_000)
    max_object_size: int = Field(default=5 * TIB, ge=5 * MIB)
    uploads: int = Field(default=4, ge=1, le=32)
    read_back: bool = Field(
        default=False, description="Download every new file and hash it, also when the server checked it on receipt."
    )

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        prefix = prefix.strip("/")
        if prefix:
            try:
                parts_of(prefix)
            except StorageError as error:
                raise ValueError(error.message) from None
        return prefix

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        try:
            parts = urlsplit(endpoint)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
        except ValueError:
            good = None
        if not good or parts.query or parts.fragment:
            raise ValueError("it is no address like https://host:9000")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("an access key and its secret are given together, or neither is")
        if self.credentials and self.access_key_id:
            raise ValueError("credentials are given or named, not both")
        if self.session_token and not self.access_key_id:
            raise ValueError("a session token belongs to an access key")
        return self

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``s3://[KEY:SECRET@]bucket/prefix?option=value``. Raises ConfigurationError, which repeats no secret."""
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise ConfigurationError("this is not a URL of an S3 bucket", hint=HINT) from None
        if parts.scheme != "s3" or parts.fragment:
            raise ConfigurationError("this is not a URL of an S3 bucket", hint=HINT)
        login, _, bucket = parts.netloc.rpartition("@")
        key, _, secret = login.partition(":")
        place = {"bucket": unquote(bucket), "prefix": unquote(parts.path)}
        given = {"access_key_id": unquote(key), "secret_access_key": unquote(secret)}
        keys = {name: value for name, value in given.items() if value}
        return server_urls.configured(cls, {**place, **keys, **options}, "S3", hint=HINT)
