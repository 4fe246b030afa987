"""Identity providers as blocks: one for each kind, with the fields of the provider's own configuration."""

from __future__ import annotations

from typing import cast

from pydantic import SecretStr

from adapters.oidc.authentik import Authentik
from adapters.oidc.config import ProviderConfig
from adapters.oidc.generic import Generic
from blocks.sealed import AdapterBlock
from core.identity import IdentityProvider


class ProviderBlock(AdapterBlock):
    """Somebody who can say who a person is, and what is made of it."""

    client_id: SecretStr
    client_secret: SecretStr | None = None
    caption: str | None = None
    provision: bool = False
    default_group: str | None = None
    mapping: str | None = None
    groups_claim: str = "groups"
    name_claim: str = "preferred_username"
    scopes: str = "openid profile email"
    ca_file: str | None = None
    timeout: int = 10

    def open(self) -> IdentityProvider:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        return cast(IdentityProvider, self._adapter())

    def config(self) -> ProviderConfig:
        """What is saved, in clear. Raises WrongKey or EncryptionError."""
        return cast(ProviderConfig, self.adapter.config_type.model_validate(self.opened()))


class GenericProvider(ProviderBlock):
    """Any provider of OpenID Connect."""

    _block_type_name = "dbackup OpenID Connect"
    _block_type_slug = "dbackup-openid-connect"
    adapter = Generic

    issuer: SecretStr
    authorization_endpoint: SecretStr | None = None
    token_endpoint: SecretStr | None = None
    jwks_uri: SecretStr | None = None
    userinfo_endpoint: SecretStr | None = None
    end_session_endpoint: SecretStr | None = None


class AuthentikProvider(ProviderBlock):
    """An application of Authentik's."""

    _block_type_name = "dbackup Authentik"
    _block_type_slug = "dbackup-authentik"
    adapter = Authentik

    base_url: SecretStr
    application: SecretStr


PROVIDERS: dict[str, type[ProviderBlock]] = {
    block.adapter.kind: block for block in (GenericProvider, AuthentikProvider)
}
