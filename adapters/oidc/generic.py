"""Any provider of OpenID Connect: by what it announces, or by endpoints that are given one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, Field, model_validator

from adapters.oidc.config import ProviderConfig, Url
from adapters.oidc.metadata import WELL_KNOWN, Metadata, announced
from adapters.oidc.provider import OpenIDConnect
from core.errors import ConfigurationError
from core.fields import RECEIVES

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
OPTIONAL_ENDPOINTS = ("userinfo_endpoint", "end_session_endpoint")


class Named(BaseModel):
    """Who it is. A class of its own, so that a form asks for it first."""

    issuer: Url = Field(
        description="The address that it calls itself.",
        examples=["https://id.example.org/realms/example"],
        json_schema_extra=RECEIVES,
    )


class GenericConfig(ProviderConfig, Named):
    """A provider by its issuer; with endpoints, nothing is asked for what it announces."""

    authorization_endpoint: Url | None = Field(default=None, description="Only where nothing is announced.")
    token_endpoint: Url | None = Field(default=None, json_schema_extra=RECEIVES)
    jwks_uri: Url | None = Field(default=None, title="Address of the keys")
    userinfo_endpoint: Url | None = None
    end_session_endpoint: Url | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [name for name in (*ENDPOINTS, *OPTIONAL_ENDPOINTS) if getattr(self, name)]
        if given and not set(ENDPOINTS) <= set(given):
            raise ValueError(f"endpoints are given all together or not at all: {', '.join(ENDPOINTS)}")
        return self

    @property
    def is_manual(self) -> bool:
        """Whether the endpoints are given."""
        return self.token_endpoint is not None

    @classmethod
    def from_url(cls, url: str, facts: Mapping[str, Any]) -> Self:
        """Read the address of the issuer, or that of its metadata.

        Other settings are ``facts``, or options of the address. Raises ConfigurationError.
        """
        plain, options = split(url)
        return cls.made({**options, **facts, "issuer": plain.removesuffix(WELL_KNOWN)}, "OpenID Connect")


def split(url: str) -> tuple[str, dict[str, Any]]:
    """An address without its options, and these. Raises ConfigurationError for what is no address."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(
            "this is no address of a provider", hint="it looks like https://id.example.org/realms/example"
        ) from None
    return parts._replace(query="").geturl(), options


class Generic(OpenIDConnect):
    """A provider of OpenID Connect."""

    kind: ClassVar[str] = "generic"
    label: ClassVar[str] = "OpenID Connect"
    schemes: ClassVar[tuple[str, ...]] = ("https", "http")
    config_type: ClassVar[type[GenericConfig]] = GenericConfig

    def __init__(self, config: GenericConfig) -> None:
        super().__init__(config)
        self._config = config

    def describe(self) -> str:
        """The host and path of its issuer."""
        parts = urlsplit(self._config.issuer)
        return f"{parts.netloc}{parts.path.rstrip('/')}"

    def _metadata(self) -> Metadata:
        config = self._config
        if config.is_manual:
            return Metadata.model_validate({name: value for name, value in config if value is not None})
        plain = config.issuer.rstrip("/")
        return announced(self.describe(), self._web.get(f"{plain}{WELL_KNOWN}"), {plain, f"{plain}/"})
