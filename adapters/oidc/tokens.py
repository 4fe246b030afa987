"""ID tokens: who signed one, for whom, when, and for which login. Checked by libraries; what is asked of them is here.

Only signatures that a public key can verify are accepted. ``none`` is no signature, and HS256 would make of the
client's secret, or of a public key, something that everybody who knows it can sign with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key

from core.errors import AuthenticationError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
LEEWAY = 60  # seconds that two clocks may differ by
LONGEST_SUBJECT = 255  # characters, says OpenID Connect


@dataclass(frozen=True)
class Expected:
    """What an ID token has to say."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)
    access_token: str = field(default="", repr=False)


def verified(token: str, keys: KeySet, expected: Expected) -> Mapping[str, Any]:
    """The claims of a token. Raises AuthenticationError with what is wrong with it."""
    try:
        decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": expected.issuer},
                "aud": {"essential": True, "value": expected.client_id},
            },
            {
                "client_id": expected.client_id,
                "nonce": expected.nonce,
                "access_token": expected.access_token,
            },
        )
        claims.validate(leeway=LEEWAY)
    except (JoseError, ValueError, TypeError) as failure:
        raise _refused(failure) from None
    subject = claims["sub"]
    if not (subject and subject.isprintable() and len(subject) <= LONGEST_SUBJECT):
        raise AuthenticationError("the provider names nobody that could be known again", hint=_HINT)
    return dict(claims)


def public_keys(answer: Mapping[str, Any]) -> KeySet:
    """The public keys of a set that signatures can be verified with. A key that is of no use here does no harm."""
    listed = answer.get("keys")
    found = [_key(one) for one in listed] if isinstance(listed, list) else []
    return KeySet([key for key in found if key is not None])


def _key(facts: Any) -> RSAKey | ECKey | OKPKey | None:
    if not isinstance(facts, dict) or facts.get("use", "sig") != "sig":
        return None
    try:
        key = import_key(facts)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


_HINT = "try again; if it stays like this, ask an administrator"
_CLAIMS = {
    "iss": "it was made by somebody else",
    "aud": "it was made for another application",
    "azp": "it was made for another application",
    "nonce": "it belongs to another login",
    "at_hash": "it does not belong to the access token",
    "iat": "it is from the future; a clock is wrong",
    "nbf": "it does not count yet; a clock is wrong",
}


def _refused(failure: Exception) -> AuthenticationError:
    match failure:
        case UnsupportedAlgorithmError():
            reason = "its signature is of a kind that proves nothing here"
            hint = "let the provider sign with RS256 or ES256: choose a signing key there"
            return AuthenticationError(f"the provider's token is refused: {reason}", hint=hint)
        case ExpiredTokenError():
            reason = "it has expired"
        case ClaimError(claim=claim):
            reason = _CLAIMS.get(claim, f"its claim {claim[:40]} is missing or wrong")
        case InvalidKeyIdError():
            reason = "it is signed with a key that the provider does not announce"
        case _:
            reason = "its signature is wrong"
    return AuthenticationError(f"the provider's token is refused: {reason}", hint=_HINT)
