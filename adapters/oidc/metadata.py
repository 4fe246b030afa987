"""What a provider announces about itself, checked before anything of it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.oidc.config import Url
from core.errors import AdapterError

WELL_KNOWN = "/.well-known/openid-configuration"
S256 = "S256"


class Metadata(BaseModel):
    """The part of a provider's metadata that is used here. The names are those of OpenID Connect Discovery."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    issuer: str
    authorization_endpoint: Url
    token_endpoint: Url
    jwks_uri: Url
    userinfo_endpoint: Url | None = None
    end_session_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


def announced(who: str, answer: Mapping[str, Any], issuers: Collection[str]) -> Metadata:
    """The metadata of a provider that has to be one of these issuers. Raises AdapterError.

    A provider that may speak in another one's name is none: the issuer is a part of everybody's identity.
    """
    try:
        metadata = Metadata.model_validate(answer)
    except ValidationError as failure:
        problem = failure.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))
        reason = problem["msg"].removeprefix("Value error, ")
        raise AdapterError(
            f"{who} announces nothing that can be used: {name}: {reason}", hint="is the address that of the issuer?"
        ) from None
    if metadata.issuer not in issuers:
        raise AdapterError(
            f"{who} announces another issuer: {metadata.issuer[:200]}",
            hint=f"it was expected to be {' or '.join(sorted(issuers))}; use the address that it calls itself",
        )
    supported = metadata.code_challenge_methods_supported
    if supported is not None and S256 not in supported:
        raise AdapterError(f"{who} does not support PKCE with {S256}", hint="switch it on there, or update it")
    return metadata
