"""What every provider's configuration has, and which addresses are good enough to trust what comes from them.

A token is believed because of where its keys come from, so every address is https, or a loopback's. Whatever a
provider announces is held to the same rule.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
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


def _pairs(mapping: str) -> Mapping[str, str]:
    parts = [part for part in re.split(r"[,\n]", mapping) if part.strip()]
    pairs = [(theirs.strip(), ours.strip()) for theirs, _, ours in (part.rpartition("=") for part in parts)]
    if not all(theirs and ours for theirs, ours in pairs) or len(dict(pairs)) < len(pairs):
        raise ValueError("it has to look like this, each group of theirs once: dba=operators, staff=readers")
    return dict(pairs)


Url = Annotated[str, AfterValidator(safe_url)]


class ProviderConfig(BaseModel):
    """What every provider is asked with, and what is made of whoever comes from there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: str = Field(min_length=1, max_length=255)
    client_secret: SecretStr | None = Field(
        default=None, description="Without one, the proof key of each login alone shows that it is ours."
    )
    caption: str | None = Field(
        default=None, max_length=60, description="What the button at the login says: Log in with …"
    )
    provision: bool = Field(
        default=False,
        title="Make users of strangers",
        description="Otherwise only those may log in whose verified e-mail address is a user's here.",
    )
    default_group: str | None = Field(
        default=None, description="The group of users who are made. Without one they may do nothing."
    )
    mapping: str | None = Field(
        default=None,
        title="Groups that follow",
        description="Which of its groups stand for which of ours: dba=operators, staff=readers",
        examples=["dba=operators, staff=readers"],
    )
    groups_claim: str = Field(default="groups", min_length=1, description="The claim that lists somebody's groups.")
    name_claim: str = Field(
        default="preferred_username", min_length=1, description="The claim that new users are named after."
    )
    scopes: str = Field(default="openid profile email", description="What is asked for; openid is always among them.")
    ca_file: str | None = Field(default=None, description="The only authorities that are believed, as a PEM file.")
    timeout: int = Field(default=10, ge=1, le=60, title="Timeout in seconds", description="For each question.")

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

    @field_validator("mapping")
    @classmethod
    def _readable(cls, mapping: str | None) -> str | None:
        if mapping:
            _pairs(mapping)
        return mapping or None

    @property
    def mapped_groups(self) -> Mapping[str, str]:
        """Which of our groups a value of the claim stands for."""
        return _pairs(self.mapping or "")

    @classmethod
    def made(cls, facts: dict[str, Any], label: str) -> Self:
        """A configuration of these facts, as a URL of this ``label`` gave them. Raises ConfigurationError."""
        return configured(cls, facts, label)
