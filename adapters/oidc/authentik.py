"""Authentik: an application by its slug. Everything else follows from where Authentik puts things.

Its issuer is the application's own address, or, when its provider is set to one issuer for all, Authentik's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from adapters.oidc.config import ProviderConfig, Url
from adapters.oidc.generic import split
from adapters.oidc.metadata import WELL_KNOWN, Metadata, announced
from adapters.oidc.provider import OpenIDConnect
from core.fields import RECEIVES

SLUG = r"[A-Za-z0-9_-]+"
_APPLICATION = re.compile(rf"(?P<base>.*?)(?:/application/o)?/(?P<slug>{SLUG})/?", re.ASCII)


class Application(BaseModel):
    """Where it is. A class of its own, so that a form asks for it first."""

    base_url: Url = Field(
        title="Address of Authentik", examples=["https://auth.example.org"], json_schema_extra=RECEIVES
    )
    application: str = Field(
        pattern=rf"^{SLUG}$", max_length=255, title="Slug of the application", json_schema_extra=RECEIVES
    )


class AuthentikConfig(ProviderConfig, Application):
    """One application of Authentik's: where that is, and how the application is called in addresses."""

    @classmethod
    def from_url(cls, url: str, facts: Mapping[str, Any]) -> Self:
        """Read ``authentik+https://auth.example.org/SLUG``, or the application's address in Authentik.

        Other settings are ``facts``, or options of the address. Raises ConfigurationError.
        """
        plain, options = split(url.removeprefix("authentik+"))
        found = _APPLICATION.fullmatch(plain.removesuffix(WELL_KNOWN))
        whole = found is not None and bool(urlsplit(found["base"]).netloc)
        place = {"base_url": found["base"], "application": found["slug"]} if found and whole else {"base_url": plain}
        return cls.made({**options, **facts, **place}, "Authentik")


class Authentik(OpenIDConnect):
    """An application of Authentik's."""

    kind: ClassVar[str] = "authentik"
    label: ClassVar[str] = "Authentik"
    schemes: ClassVar[tuple[str, ...]] = ("authentik+https", "authentik+http")
    config_type: ClassVar[type[AuthentikConfig]] = AuthentikConfig

    def __init__(self, config: AuthentikConfig) -> None:
        super().__init__(config)
        self._config = config

    def describe(self) -> str:
        """Which application of which Authentik."""
        return f"{self._config.application} on {urlsplit(self._config.base_url).netloc}"

    def _metadata(self) -> Metadata:
        base = self._config.base_url.rstrip("/")
        own = f"{base}/application/o/{self._config.application}"
        return announced(self.describe(), self._web.get(f"{own}{WELL_KNOWN}"), {f"{own}/", own, f"{base}/"})
