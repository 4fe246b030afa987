"""How to reach a MySQL or MariaDB server.

The same facts are given in two ways: as parameters to our own sessions, and in a private options file to the client
tools. A password is in neither an argument list nor the environment.
"""

from __future__ import annotations

import getpass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from adapters import server_urls
from core.errors import ConfigurationError
from core.fields import RECEIVES

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class MySQLConfig(BaseModel):
    """One server. ``host`` may be the path of a Unix socket; ``database`` None means the whole server.

    ``user`` None means the operating system's user. ``connect_timeout`` is in seconds. ``client_path`` names the one
    folder to take the client tools from; without it they are looked for on ``PATH``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    scheme: ClassVar[str] = "mysql"
    label: ClassVar[str] = "MySQL"

    host: str = Field(default="localhost", min_length=1, json_schema_extra=RECEIVES)
    port: int = Field(default=3306, ge=1, le=65535, json_schema_extra=RECEIVES)
    database: str | None = Field(default=None, description="Empty: every database of the server.")
    user: str | None = None
    password: SecretStr | None = None
    ssl_mode: Literal["disabled", "preferred", "required", "verify-identity"] = "preferred"
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout: int = Field(default=10, ge=1, le=3600)
    client_path: str | None = None

    @field_validator("ssl_mode", mode="before")
    @classmethod
    def _as_the_server_s_own_tools_write_it(cls, mode: Any) -> Any:
        mode = mode.lower().replace("_", "-") if isinstance(mode, str) else mode
        if mode == "verify-ca":  # the tools go on in clear text unless they verify, and then they verify the name, too
            raise ValueError("verify-ca cannot be kept by the client tools, write verify-identity")
        return mode

    @model_validator(mode="after")
    def _names_whom_to_trust(self) -> Self:
        # The tools verify nothing without it, whatever our own sessions do.
        if self.is_verified and not self.ssl_ca:
            raise ValueError(f"{self.ssl_mode} needs ssl-ca, the file of the certificate authority")
        return self

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``mysql://…``. Raises ConfigurationError, which never repeats any part that may be secret."""
        parts = server_urls.read(url, (cls.scheme,))
        if parts is None:
            raise ConfigurationError(
                f"this is not a URL of a {cls.label} server",
                hint=f"write {cls.scheme}://user:password@host:3306/database?ssl-mode=required, "
                "with %40 for an @ in a password",
            )
        database = {"database": name} if (name := parts.path.removeprefix("/")) else {}
        options = {name.replace("-", "_"): value for name, value in parts.options.items()}
        return server_urls.configured(cls, {**parts.facts, **database, **options}, cls.label, _as_the_tools_write_it)

    @property
    def is_verified(self) -> bool:
        """Whether the server must prove who it is."""
        return self.ssl_mode == "verify-identity"

    @property
    def login(self) -> str:
        """The user who logs in."""
        return self.user or getpass.getuser()

    @property
    def secret(self) -> str:
        """The password in clear; empty where there is none."""
        return self.password.get_secret_value() if self.password else ""

    @property
    def socket(self) -> str | None:
        """The path of the Unix socket, if that is where the server is."""
        return self.host if self.host.startswith("/") else None

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return self.host if self.socket else f"{self.host}:{self.port}"

    def options_file(self, *, tls: bool) -> str:
        """The facts as the client tools read them from a file. ``tls`` says whether our own session has it."""
        facts: dict[str, str] = {"user": self.login, "password": self.secret}
        facts |= {"socket": self.socket} if self.socket else {"host": self.host, "port": str(self.port)}
        facts |= {"protocol": "socket" if self.socket else "tcp"}
        given = {"ssl-ca": self.ssl_ca, "ssl-cert": self.ssl_cert, "ssl-key": self.ssl_key}
        if tls:
            facts |= {name: value for name, value in given.items() if value and (self.is_verified or name != "ssl-ca")}
            facts |= {"ssl": "1", "ssl-verify-server-cert": "1" if self.is_verified else "0"}
        lines = (f'{name}="{value.translate(ESCAPES)}"' for name, value in facts.items())
        return "\n".join(["[client]", *lines, "" if tls else "skip-ssl", ""])


class MariaDBConfig(MySQLConfig):
    """One MariaDB server, with the same facts."""

    scheme: ClassVar[str] = "mariadb"
    label: ClassVar[str] = "MariaDB"


def _as_the_tools_write_it(field: str) -> str:
    return field.replace("_", "-")
