"""How to reach a PostgreSQL server.

The same facts are given to libpq in two ways: as keyword parameters to our own connections, as environment
variables to the client tools. Never as a connection string put together by hand, never as arguments.
"""

from __future__ import annotations

import getpass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from adapters import server_urls
from core.errors import ConfigurationError
from core.fields import RECEIVES

SCHEMES = ("postgresql", "postgres")
APPLICATION = "dbackup"  # how our sessions are called in pg_stat_activity
HINT = "write postgresql://user:password@host:5432/database?sslmode=require, with %40 for an @ in a password"


class PostgreSQLConfig(BaseModel):
    """One server. ``host`` may be the folder of a Unix socket; ``database`` None means the whole server.

    ``user`` None means the operating system's user. ``connect_timeout`` is in seconds. ``client_path`` names the
    one folder to take the client tools from; without it the newest fitting ones of the machine are found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(default="localhost", min_length=1, json_schema_extra=RECEIVES)
    port: int = Field(default=5432, ge=1, le=65535, json_schema_extra=RECEIVES)
    database: str | None = Field(default=None, description="Empty: every database of the server.")
    user: str | None = None
    password: SecretStr | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    connect_timeout: int = Field(default=10, ge=1, le=3600)
    client_path: str | None = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``postgresql://…``. Raises ConfigurationError, which never repeats any part that may be secret."""
        parts = server_urls.read(url, SCHEMES)
        if parts is None:
            raise ConfigurationError("this is not a URL of a PostgreSQL server", hint=HINT)
        database = {"database": name} if (name := parts.path.removeprefix("/")) else {}
        return server_urls.configured(cls, {**parts.facts, **database, **parts.options}, "PostgreSQL")

    @property
    def login(self) -> str:
        """The role that logs in."""
        return self.user or getpass.getuser()

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return f"{self.host}:{self.port}"

    def parameters(self, database: str) -> dict[str, Any]:
        """The facts as libpq's keyword parameters."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.login,
            # Empty, not absent: PGPASSWORD and PGOPTIONS of the caller must not stand in for what was not given.
            "password": self.password.get_secret_value() if self.password else "",
            "options": "",
            "dbname": database,
            "connect_timeout": self.connect_timeout,
            "application_name": APPLICATION,
            "client_encoding": "utf8",
            **self._tls(),
        }

    def environment(self, database: str) -> dict[str, str]:
        """The facts as libpq's environment variables. ``PGDATABASE`` is taken as a name, whatever is in it."""
        tls = {f"PG{name.upper()}": value for name, value in self._tls().items()}
        password = {"PGPASSWORD": self.password.get_secret_value()} if self.password else {}
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.login,
            "PGDATABASE": database,
            "PGCONNECT_TIMEOUT": str(self.connect_timeout),
            "PGAPPNAME": APPLICATION,
            **password,
            **tls,
        }

    def _tls(self) -> dict[str, str]:
        facts = {
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
        }
        return {name: value for name, value in facts.items() if value is not None}
