"""How to reach a MongoDB server, a replica set or a cluster.

One connection string is made of these facts, for our own sessions and for the tools. It may hold a password, so it
reaches the tools in a file that only they can read: never as an argument, never in the environment.
"""

from __future__ import annotations

import json
import re
from typing import Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from adapters import server_urls
from core.errors import ConfigurationError
from core.fields import RECEIVES

SCHEMES = ("mongodb", "mongodb+srv")
HINT = "write mongodb://user:password@host1:27017,host2/database?replicaSet=rs0, with %40 for an @ in a password"
URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@/?]*))?@)?"
    r"(?P<hosts>[^@/?#]+)(?:/(?P<database>[^/?#]*))?(?:\?(?P<options>[^#]*))?"
)
# The options as connection strings spell them, and the fields of the configuration.
OPTIONS = {
    "authSource": "auth_source",
    "authMechanism": "auth_mechanism",
    "replicaSet": "replica_set",
    "directConnection": "direct_connection",
    "readPreference": "read_preference",
    "tls": "tls",
    "tlsCAFile": "tls_ca_file",
    "tlsCertificateKeyFile": "tls_certificate_key_file",
    "connectTimeoutMS": "connect_timeout_ms",
    "serverSelectionTimeoutMS": "server_selection_timeout_ms",
}
OURS = {"client_path": "client_path"}


class MongoDBConfig(BaseModel):
    """One deployment. ``hosts`` are one or several, with ports, separated by commas; with ``srv`` a name in the DNS.

    ``database`` None means the whole server. Without ``auth_source`` the user is known to ``database``, or to
    ``admin``. Timeouts are in milliseconds. ``client_path`` names the one folder to take the tools from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    hosts: str = Field(
        min_length=1,
        description="One or several, with ports, separated by commas: db1:27017,db2:27017",
        json_schema_extra=RECEIVES,
    )
    srv: bool = Field(
        default=False, description="The host is a name in the DNS that lists the servers.", json_schema_extra=RECEIVES
    )
    database: str | None = Field(default=None, description="Empty: every database of the server.")
    user: str | None = None
    password: SecretStr | None = None
    auth_source: str | None = None
    auth_mechanism: Literal["SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "PLAIN"] | None = None
    replica_set: str | None = None
    direct_connection: bool | None = None
    read_preference: Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"] | None = None
    tls: bool | None = None
    tls_ca_file: str | None = None
    tls_certificate_key_file: str | None = None
    connect_timeout_ms: int = Field(default=10_000, ge=1, le=3_600_000)
    server_selection_timeout_ms: int = Field(default=10_000, ge=1, le=3_600_000)
    client_path: str | None = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``mongodb://…`` or ``mongodb+srv://…``. Raises ConfigurationError, which repeats no secret part."""
        parts = URL.fullmatch(url)
        if parts is None:
            raise ConfigurationError("this is not a URL of a MongoDB server", hint=HINT)
        try:
            written = parts["options"] or ""
            options = dict(parse_qsl(written, keep_blank_values=True, strict_parsing=bool(written)))
        except ValueError:
            raise ConfigurationError("the options of this MongoDB URL cannot be read", hint=HINT) from None
        facts = {name: unquote(parts[name]) for name in ("user", "password", "database") if parts[name]}
        known = OPTIONS | OURS
        if unknown := sorted(set(options) - set(known)):
            raise ConfigurationError(
                f"the option '{unknown[0]}' of this MongoDB URL cannot be used: there is no such option",
                hint=f"the options are: {', '.join(sorted(known))}",
            )
        fields = {known[name]: value for name, value in options.items()}
        place = {"hosts": parts["hosts"], "srv": parts["scheme"] == "mongodb+srv"}
        return server_urls.configured(cls, {**facts, **place, **fields}, "MongoDB", _as_a_connection_string_writes_it)

    @property
    def address(self) -> str:
        """Where the deployment is, for people."""
        return self.hosts

    def uri(self) -> str:
        """The connection string, with the password in it and without a database."""
        login = f"{quote(self.user, safe='')}{self._password()}@" if self.user else ""
        options = {name: self._written(getattr(self, field)) for name, field in OPTIONS.items()}
        options["authSource"] = self._auth_source()
        given = urlencode({name: value for name, value in options.items() if value is not None}, quote_via=quote)
        return f"mongodb{'+srv' if self.srv else ''}://{login}{self.hosts}/?{given}"

    def tool_file(self) -> bytes:
        """The tools' configuration file: YAML, whose strings may be written as in JSON."""
        return f"uri: {json.dumps(self.uri())}\n".encode()

    def _auth_source(self) -> str | None:
        """Where the user is known. To name a place without a user would make the tools log in as nobody."""
        if self.auth_mechanism == "MONGODB-X509":
            return "$external"
        return (self.auth_source or self.database or "admin") if self.user else None

    def _password(self) -> str:
        return f":{quote(self.password.get_secret_value(), safe='')}" if self.password else ""

    @staticmethod
    def _written(value: object) -> str | None:
        if value is None:
            return None
        return str(value).lower() if isinstance(value, bool) else str(value)


def _as_a_connection_string_writes_it(field: str) -> str:
    return next((option for option, name in OPTIONS.items() if name == field), field)
