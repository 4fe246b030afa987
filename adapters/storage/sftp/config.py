"""Where an SFTP server is, who logs in, and how its host key is known.

``sftp://user:password@host:22/absolute/path?option=value``; a path that begins with ``/~/`` is relative to the folder
in which the login begins. A host key is always checked: against a fingerprint, else against a known_hosts file.
"""

from __future__ import annotations

import base64
import binascii
import getpass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from adapters import server_urls
from core.errors import ConfigurationError
from core.fields import MULTILINE, RECEIVES, UNASKED

SCHEME = "sftp"
HOME = ("~", ".")  # as the first part of a URL's path
HINT = "write sftp://user@host:22/absolute/path, or sftp://user@host/~/path for one below the login's own folder"


class SFTPConfig(BaseModel):
    """One folder of one server. A ``path`` without a leading slash is relative to the login's own folder.

    ``user`` None means the operating system's user. ``private_key`` is a key's text, ``private_key_file`` the path of
    one, ``passphrase`` opens either. ``connect_timeout``, ``timeout`` (how long an answer may take) and ``keepalive``
    (0: none is sent) are in seconds. ``marked``: only a folder that holds the mark is used; otherwise it is made when
    it is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(min_length=1, json_schema_extra=RECEIVES)
    port: int = Field(default=22, ge=1, le=65535, json_schema_extra=RECEIVES)
    path: str = Field(min_length=1, description="Without a leading slash: below the folder of the login.")
    user: str | None = None
    password: SecretStr | None = None
    private_key: SecretStr | None = Field(default=None, json_schema_extra=MULTILINE)
    private_key_file: Path | None = None
    passphrase: SecretStr | None = None
    agent: bool = False
    fingerprint: str | None = None
    known_hosts: Path | None = None
    connect_timeout: int = Field(default=10, ge=1, le=3600)
    timeout: int = Field(default=60, ge=1, le=3600)
    keepalive: int = Field(default=30, ge=0, le=3600)
    marked: bool = Field(default=False, json_schema_extra=UNASKED)

    @field_validator("path")
    @classmethod
    def _storable(cls, path: str) -> str:
        if "\0" in path:
            raise ValueError("a path holds no zero byte")
        return path.rstrip("/") or "/"

    @field_validator("fingerprint")
    @classmethod
    def _sha256(cls, fingerprint: str | None) -> str | None:
        if fingerprint is None:
            return None
        # A + of Base64 that was not percent-encoded has become a space in a URL.
        digest = fingerprint.replace(" ", "+").removeprefix("SHA256:").rstrip("=")
        try:
            size = len(base64.b64decode(f"{digest}=", validate=True))
        except binascii.Error:
            size = 0
        if size != 32:
            raise ValueError("write it as ssh-keygen -l shows it: SHA256: and 43 characters")
        return f"SHA256:{digest}"

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``sftp://…``. Raises ConfigurationError, which never repeats any part that may be secret."""
        parts = server_urls.read(url, (SCHEME,))
        if parts is None:
            raise ConfigurationError("this is not a URL of an SFTP server", hint=HINT)
        if "host" not in parts.facts or parts.path in ("", "/"):
            raise ConfigurationError("this URL does not name a folder of an SFTP server", hint=HINT)
        return server_urls.configured(cls, {**parts.facts, "path": _path_of(parts.path), **parts.options}, "SFTP")

    @property
    def login(self) -> str:
        """The user who logs in."""
        return self.user or getpass.getuser()

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """The folder, for people, without the user."""
        return f"{SCHEME}://{self.address}{'' if self.path.startswith('/') else '/~/'}{self.path}"


def _path_of(path: str) -> str:
    first, _, rest = path.removeprefix("/").partition("/")
    return (rest.strip("/") or ".") if first in HOME else path
