"""A login by OpenID Connect: authorization code with PKCE, state and nonce, whoever the provider is.

Metadata and keys are asked for each time: logins are rare, and so a key that was changed counts at once, in both
directions. What somebody is called is taken from the ID token, and only what it leaves out from userinfo, which has to
speak of the same subject. An address and whether it is verified are taken from the same place, or not at all.
"""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

from adapters.oidc.config import ProviderConfig
from adapters.oidc.metadata import S256, Metadata
from adapters.oidc.tokens import Expected, public_keys, verified
from adapters.oidc.web import Answer, Web
from core.errors import AdapterError, AuthenticationError
from core.identity import Claims, Departure, ProviderInfo

LONGEST_TEXT = 200  # characters of what a provider says
AGAIN = "begin again at the login page"


class OpenIDConnect(ABC):
    """What all providers have in common. A subclass says where its metadata come from."""

    kind: ClassVar[str]

    def __init__(self, config: ProviderConfig) -> None:
        self._common = config
        self._web = Web(config.ca_file, config.timeout)

    @abstractmethod
    def describe(self) -> str:
        """What people call it."""

    @abstractmethod
    def _metadata(self) -> Metadata:
        """What it announces. Raises ConnectionError or AdapterError."""

    def check(self) -> ProviderInfo:
        """Ask what it announces, and, with a code that it never gave, whether it knows our secret."""
        metadata = self._metadata()
        keys = len(public_keys(self._web.get(metadata.jwks_uri)).keys)
        if not keys:
            raise AdapterError(f"{self.describe()} announces no key that signs", hint="choose a signing key there")
        nothing = {"grant_type": "authorization_code", "code": secrets.token_urlsafe(), "redirect_uri": "https://none"}
        said = _error(self._redeemed(metadata, {**nothing, "code_verifier": secrets.token_urlsafe(64)}))
        known = {"invalid_grant": True, "invalid_client": False, "unauthorized_client": False}.get(said)
        return ProviderInfo(metadata.issuer, keys, metadata.end_session_endpoint is not None, known)

    def begin(self, callback: str) -> Departure:
        """Begin a login that is to come back to ``callback``."""
        state, nonce, verifier = (secrets.token_urlsafe(size) for size in (32, 32, 64))
        url = prepare_grant_uri(
            self._metadata().authorization_endpoint,
            client_id=self._common.client_id,
            response_type="code",
            redirect_uri=callback,
            scope=self._common.scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method=S256,
        )
        return Departure(url, callback, state, nonce, verifier)

    def finish(self, departure: Departure, answer: Mapping[str, str]) -> Claims:
        """Who came back. The state comes first: before it agrees, nothing of the answer is even shown."""
        if not hmac.compare_digest(answer.get("state", "").encode(), departure.state.encode()):
            raise AuthenticationError("this answer belongs to another login", hint=AGAIN)
        if "error" in answer:
            raise AuthenticationError(f"{self.describe()} did not agree: {_told(answer)}", hint=AGAIN)
        metadata = self._metadata()
        _require_issuer(metadata, answer.get("iss"))
        tokens = self._tokens(metadata, departure, answer.get("code", ""))
        access = str(tokens.get("access_token") or "")
        expected = Expected(metadata.issuer, self._common.client_id, departure.nonce, access)
        keys = public_keys(self._web.get(metadata.jwks_uri))
        claims = verified(str(tokens.get("id_token") or ""), keys, expected)
        return self._claims(claims, self._userinfo(metadata, claims, access))

    def logout_url(self, after: str) -> str | None:
        """Where somebody logs out there. No token is kept for it: the client's name is enough."""
        place = self._metadata().end_session_endpoint
        wanted = [("client_id", self._common.client_id), ("post_logout_redirect_uri", after)]
        return str(add_params_to_uri(place, wanted)) if place else None

    def _tokens(self, metadata: Metadata, departure: Departure, code: str) -> Mapping[str, Any]:
        if not code:
            raise AuthenticationError(f"{self.describe()} sent no code", hint=AGAIN)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": departure.callback}
        answer = self._redeemed(metadata, {**form, "code_verifier": departure.verifier})
        if answer.status == httpx.codes.OK and answer.body:
            return answer.body
        if _error(answer) in ("invalid_client", "unauthorized_client"):
            raise AdapterError(
                f"{self.describe()} refuses the client id or its secret", hint="compare both with those at the provider"
            )
        raise AuthenticationError(
            f"{self.describe()} gave no token for the code ({answer.status}: {_told(answer.body)})", hint=AGAIN
        )

    def _redeemed(self, metadata: Metadata, form: Mapping[str, str]) -> Answer:
        """What the token endpoint says, asked in the way that it announces."""
        client, secret = self._common.client_id, self._common.client_secret
        if secret is None:
            return self._web.post(metadata.token_endpoint, {**form, "client_id": client}, None)
        clear, ways = secret.get_secret_value(), metadata.token_endpoint_auth_methods_supported
        if "client_secret_basic" not in ways and "client_secret_post" in ways:
            own = {"client_id": client, "client_secret": clear}
            return self._web.post(metadata.token_endpoint, {**form, **own}, None)
        basic = httpx.BasicAuth(quote(client, safe=""), quote(clear, safe=""))  # encoded first, says RFC 6749
        return self._web.post(metadata.token_endpoint, form, basic)

    def _userinfo(self, metadata: Metadata, claims: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        wanted = ("email", self._common.name_claim, self._common.groups_claim)
        if not (token and metadata.userinfo_endpoint) or all(one in claims for one in wanted):
            return {}
        found = self._web.get(metadata.userinfo_endpoint, token)
        if found.get("sub") != claims["sub"]:
            raise AuthenticationError(f"{self.describe()} speaks of two different people", hint=AGAIN)
        return found

    def _claims(self, token: Mapping[str, Any], userinfo: Mapping[str, Any]) -> Claims:
        name, groups = (
            token.get(claim, userinfo.get(claim)) for claim in (self._common.name_claim, self._common.groups_claim)
        )
        told = token if "email" in token else userinfo
        email = told.get("email")
        known = isinstance(email, str) and bool(email)
        return Claims(
            token["iss"],
            token["sub"],
            name if isinstance(name, str) else "",
            email if known else None,
            known and told.get("email_verified") is True,
            frozenset(one for one in groups if isinstance(one, str)) if isinstance(groups, list) else frozenset(),
        )


def _require_issuer(metadata: Metadata, said: str | None) -> None:
    """The answer names its issuer (RFC 9207), so that one provider's cannot be taken for another's."""
    missing = said is None and metadata.authorization_response_iss_parameter_supported
    if missing or said not in (None, metadata.issuer):
        raise AuthenticationError("this answer comes from another provider", hint=AGAIN)


def _error(answer: Answer) -> str:
    return str(answer.body.get("error", ""))


def _told(answer: Mapping[str, Any]) -> str:
    """What a provider says is wrong, as far as it can be shown."""
    said = ": ".join(str(answer[name]) for name in ("error", "error_description") if answer.get(name))
    return "".join(one for one in said if one.isprintable())[:LONGEST_TEXT] or "no reason was given"
