"""What every provider's configuration has, and which addresses are good enough to trust what comes from them.

A token is believed because of where its keys come from, so every address is https, or a loopback's. Whatever a
provider announces is held to the same rule.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from adapters.server_urls import configured

LONGEST = 2048  # characters of an address


def safe_url(url: str) -> str:
    """The address. Raises ValueError unless it is https, or http of a loopback, and names no user and no fragment."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("it has to begin with https://, and to name no user")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("it has to begin with https://: in clear, anybody on the way could pretend to be somebody")
    if not url.isprintable() or " " in url or len(url) > LONGEST:
        raise ValueError("it is no address")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Url = Annotated[str, AfterValidator(safe_url)]


class ProviderConfig(BaseModel):
    """What is known of us at a provider. ``timeout`` is in seconds, for each question. Without a secret, the proof key
    alone shows that a code is ours.

    ``name_claim`` and ``groups_claim`` are the claims that hold a name and the groups.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: str = Field(min_length=1, max_length=255)
    client_secret: SecretStr | None = None
    scopes: str = "openid profile email"
    name_claim: str = Field(default="preferred_username", min_length=1)
    groups_claim: str = Field(default="groups", min_length=1)
    ca_file: str | None = None
    timeout: int = Field(default=10, ge=1, le=60)

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: str) -> str:
        if "openid" not in scopes.split():
            raise ValueError("openid has to be among the scopes")
        return " ".join(scopes.split())

    @field_validator("client_secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        return secret if secret and secret.get_secret_value() else None

    @classmethod
    def made(cls, facts: dict[str, Any], label: str) -> Self:
        """A configuration of these facts, as a URL of this ``label`` gave them. Raises ConfigurationError."""
        return configured(cls, facts, label)
