"""Who somebody is, as a certified provider says it; and what is not believed from one that lies."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import BaseModel, SecretStr

from adapters.oidc import PROVIDERS
from adapters.oidc.authentik import Authentik, AuthentikConfig
from adapters.oidc.generic import Generic, GenericConfig
from adapters.oidc.provider import OpenIDConnect
from core.errors import AdapterError, AuthenticationError, ConfigurationError, ConnectionError
from core.identity import Claims, Departure
from core.masking import remember_secrets
from tests.servers.certificates import Certificates
from tests.servers.identity import (
    CALLBACK,
    CLIENT,
    DISCOVERY,
    KEY,
    OTHER_KEY,
    SECRET,
    SLUG,
    Liar,
    Provider,
    forged,
    lying,
)

OURS = {"client_id": CLIENT}


def generic(issuer: str, secret: str | None = SECRET, **more: Any) -> Generic:
    given = {"issuer": issuer, "client_id": CLIENT, "client_secret": secret, **more}
    return Generic(GenericConfig.model_validate(given))


def authentik(provider: Provider) -> Authentik:
    root = "{0.scheme}://{0.netloc}".format(urlsplit(provider.issuer))
    return Authentik(AuthentikConfig.from_url(f"authentik+{root}/{SLUG}", {**OURS, "client_secret": SECRET}))


@pytest.fixture(params=["generic", "authentik"])
def login(request: pytest.FixtureRequest) -> tuple[Provider, OpenIDConnect]:
    """A certified provider, and the adapter that knows its layout."""
    if request.param == "generic":
        provider: Provider = request.getfixturevalue("provider")
        return provider, generic(provider.issuer)
    layout: Provider = request.getfixturevalue("authentik_layout")
    return layout, authentik(layout)


# --- a certified provider, on its own paths and on Authentik's ---


def test_somebody_logs_in_and_is_who_the_provider_says(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    claims = adapter.finish(departure, provider.answers_to(departure.url, "grace"))
    groups = frozenset({"staff", "dba"})
    assert claims == Claims(provider.issuer, "grace", "grace", "grace@example.org", True, groups)


def test_an_address_that_is_not_verified_is_told_as_such(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    claims = adapter.finish(departure, provider.answers_to(departure.url, "mallory"))
    assert (claims.email, claims.email_verified, claims.groups) == ("ada@example.org", False, frozenset())


def test_somebody_of_whom_nothing_is_known_is_still_somebody(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    claims = adapter.finish(departure, provider.answers_to(departure.url, "nobody"))
    assert claims == Claims(provider.issuer, "nobody", "")


def test_a_code_opens_once(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    answer = provider.answers_to(departure.url, "grace")
    adapter.finish(departure, answer)
    with pytest.raises(AuthenticationError, match="invalid_grant"):
        adapter.finish(departure, answer)


def test_a_code_that_was_stolen_opens_nothing_without_its_proof_key(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    answer = provider.answers_to(departure.url, "grace")
    thief = dataclasses.replace(adapter.begin(CALLBACK), state=departure.state, nonce=departure.nonce)
    with pytest.raises(AuthenticationError, match="invalid_grant"):
        adapter.finish(thief, answer)


@pytest.mark.parametrize("said", [{"state": "another"}, {"state": ""}, {"state": "ä"}])
def test_an_answer_to_another_login_is_refused(login: tuple[Provider, OpenIDConnect], said: dict[str, str]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    answer = provider.answers_to(departure.url, "grace")
    with pytest.raises(AuthenticationError, match="another login"):
        adapter.finish(departure, answer | said)


def test_an_answer_of_another_provider_is_refused(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    departure = adapter.begin(CALLBACK)
    answer = provider.answers_to(departure.url, "grace")
    for mixed in (answer | {"iss": "https://evil.example"}, {k: v for k, v in answer.items() if k != "iss"}):
        with pytest.raises(AuthenticationError, match="another provider"):
            adapter.finish(departure, mixed)


def test_a_trial_tells_whether_the_secret_is_right(login: tuple[Provider, OpenIDConnect]) -> None:
    provider, adapter = login
    found = adapter.check()
    assert (found.issuer, found.keys > 0, found.logs_out, found.client_accepted) == (provider.issuer, True, True, True)
    if isinstance(adapter, Generic):
        assert generic(provider.issuer, secret="wrong").check().client_accepted is False


def test_a_wrong_secret_is_said_to_be_one(provider: Provider) -> None:
    departure = generic(provider.issuer).begin(CALLBACK)
    answer = provider.answers_to(departure.url, "grace")
    with pytest.raises(AdapterError, match="client id or its secret"):
        generic(provider.issuer, secret="wrong-wrong").finish(departure, answer)


def test_somebody_can_log_out_there(login: tuple[Provider, OpenIDConnect]) -> None:
    _, adapter = login
    url = adapter.logout_url("http://127.0.0.1:1/login")
    assert url
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked == {"client_id": CLIENT, "post_logout_redirect_uri": "http://127.0.0.1:1/login"}


def test_a_login_asks_with_a_new_state_nonce_and_proof_key_each_time(provider: Provider) -> None:
    one, other = (generic(provider.issuer).begin(CALLBACK) for _ in range(2))
    assert len({one.state, one.nonce, one.verifier, other.state, other.nonce, other.verifier}) == 6
    asked = parse_qs(urlsplit(one.url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert one.verifier not in one.url
    assert one.verifier not in repr(one)


def test_endpoints_can_be_given_one_by_one(provider: Provider) -> None:
    told = httpx.get(f"{provider.issuer}{DISCOVERY}").json()
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    adapter = generic(provider.issuer, **{name: told[name] for name in names})
    departure = adapter.begin(CALLBACK)
    assert adapter.finish(departure, provider.answers_to(departure.url, "grace")).email_verified
    assert adapter.logout_url("x") is None


# --- one that lies ---


def answered(liar: Liar, adapter: Generic | None = None, **more: str) -> Claims:
    """What is made of an answer of this liar's."""
    adapter = adapter or generic(liar.issuer)
    departure = adapter.begin(CALLBACK)
    liar.nonce = liar.nonce or departure.nonce
    return adapter.finish(departure, {"state": departure.state, "code": "c", **more})


def test_what_is_right_is_believed(liar: Liar) -> None:
    assert answered(liar) == Claims(liar.issuer, "s1", "")


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"claims": {"iss": "https://evil.example"}}, "made by somebody else"),
    "for another client": ({"claims": {"aud": "another"}}, "another application"),
    "for several, made for another": ({"claims": {"aud": [CLIENT, "x"], "azp": "x"}}, "another application"),
    "for several, made for nobody": ({"claims": {"aud": [CLIENT, "x"]}}, "another application"),
    "the nonce of another login": ({"nonce": "another"}, "another login"),
    "no nonce": ({"without": ("nonce",)}, "another login"),
    "no subject": ({"without": ("sub",)}, "sub"),
    "an empty subject": ({"claims": {"sub": ""}}, "names nobody"),
    "an endless subject": ({"claims": {"sub": "x" * 256}}, "names nobody"),
    "a subject that is no text": ({"claims": {"sub": 7}}, "sub"),
    "no end": ({"without": ("exp",)}, "exp"),
    "expired": ({"claims": {"exp": time.time() - 61}}, "expired"),
    "an end that is no number": ({"claims": {"exp": "never"}}, "exp"),
    "of the future": ({"claims": {"iat": time.time() + 600}}, "from the future"),
    "not yet": ({"claims": {"nbf": time.time() + 600}}, "not count yet"),
    "another access token": ({"claims": {"at_hash": "AAAA"}}, "access token"),
    "another key of the same name": ({"key": OTHER_KEY}, "signature is wrong"),
    "a key that is not announced": ({"header": {"kid": "two"}}, "does not announce"),
    "no key": ({"announced": []}, "does not announce|signature is wrong"),
    "nothing": ({"id_token": ""}, "signature is wrong"),
    "no token at all": ({"id_token": "a.b"}, "signature is wrong"),
}


@pytest.mark.parametrize(("lie", "reason"), LIES.values(), ids=LIES)
def test_a_token_that_does_not_hold_is_refused(liar: Liar, lie: dict[str, Any], reason: str) -> None:
    for name, value in lie.items():
        setattr(liar, name, value)
    with pytest.raises(AuthenticationError, match=reason) as refused:
        answered(liar)
    assert refused.value.hint


def test_two_clocks_may_differ_a_little(liar: Liar) -> None:
    liar.claims = {"exp": time.time() - 30, "iat": time.time() + 30}
    assert answered(liar).subject == "s1"


@pytest.mark.parametrize(
    ("algorithm", "secret"),
    [("none", b""), ("HS256", SECRET.encode()), ("HS256", KEY.as_pem(private=False))],
    ids=["nothing", "the secret", "the public key"],
)
@pytest.mark.parametrize("announced", [False, True])
def test_a_token_that_is_signed_with_what_others_know_is_refused(
    liar: Liar, algorithm: str, secret: bytes, announced: bool
) -> None:
    adapter = generic(liar.issuer)
    departure = adapter.begin(CALLBACK)
    end = int(time.time()) + 300
    told = {"iss": liar.issuer, "sub": "s1", "aud": CLIENT, "iat": end - 300, "exp": end, "nonce": departure.nonce}
    liar.id_token = forged(algorithm, told, secret)
    if announced:
        value = base64.urlsafe_b64encode(secret).decode().rstrip("=")
        liar.announced = [{"kty": "oct", "k": value, "kid": "one", "alg": "HS256"}]
    with pytest.raises(AuthenticationError, match="proves nothing") as refused:
        adapter.finish(departure, {"state": departure.state, "code": "c"})
    assert "RS256" in refused.value.hint


def test_a_key_that_is_changed_there_counts_at_once(liar: Liar) -> None:
    adapter = generic(liar.issuer)
    answered(liar, adapter)
    new = ECKey.generate_key("P-256", {"kid": "new"})
    liar.key, liar.header, liar.nonce = new, {"alg": "ES256", "kid": "new"}, ""
    with pytest.raises(AuthenticationError):
        answered(liar, adapter)
    liar.announced, liar.nonce = [{"kty": "strange"}, {"kty": "EC"}, new.as_dict(private=False)], ""
    assert answered(liar, adapter).subject == "s1"


def test_userinfo_of_somebody_else_is_refused(liar: Liar) -> None:
    liar.metadata = {"userinfo_endpoint": f"{liar.issuer}/userinfo"}
    liar.userinfo = {"sub": "s2", "email": "ada@example.org", "email_verified": True}
    with pytest.raises(AuthenticationError, match="two different people"):
        answered(liar)


@pytest.mark.parametrize(
    ("token", "userinfo", "expected"),
    [
        ({"email": "a@x.org"}, {"email": "b@x.org", "email_verified": True}, ("a@x.org", False)),
        ({"email_verified": True}, {"email": "b@x.org"}, ("b@x.org", False)),
        ({}, {"email": "b@x.org", "email_verified": "true"}, ("b@x.org", False)),
        ({}, {"email": ["b@x.org"], "email_verified": True}, (None, False)),
        ({}, {"email_verified": True}, (None, False)),
        ({"email": "a@x.org", "email_verified": True}, {}, ("a@x.org", True)),
    ],
)
def test_an_address_is_verified_only_by_who_names_it(
    liar: Liar, token: dict[str, Any], userinfo: dict[str, Any], expected: tuple[str | None, bool]
) -> None:
    liar.metadata = {"userinfo_endpoint": f"{liar.issuer}/userinfo"}
    liar.claims, liar.userinfo = token, {"sub": "s1", **userinfo}
    claims = answered(liar)
    assert (claims.email, claims.email_verified) == expected


@pytest.mark.parametrize("groups", ["staff", {"staff": 1}, 7, None, [["staff"], 7]])
def test_groups_that_are_no_list_of_names_are_none(liar: Liar, groups: object) -> None:
    liar.claims = {"groups": groups}
    assert answered(liar).groups == frozenset()


def test_a_refusal_is_told_only_when_it_answers_our_question(liar: Liar) -> None:
    adapter = generic(liar.issuer)
    departure = adapter.begin(CALLBACK)
    said = {"error": "access_denied", "error_description": "no \n" + "x" * 500}
    with pytest.raises(AuthenticationError, match=r"did not agree: access_denied: no x+$") as told:
        adapter.finish(departure, {"state": departure.state, **said})
    assert len(told.value.message) < 300
    with pytest.raises(AuthenticationError) as silent:
        adapter.finish(departure, {"state": "x", **said})
    assert "denied" not in silent.value.message


WRONG: dict[str, Callable[[Liar], Any]] = {
    "another issuer": lambda liar: liar.metadata.update(issuer="https://evil.example"),
    "an endpoint in clear": lambda liar: liar.metadata.update(token_endpoint="http://id.example.org/token"),
    "an endpoint that is none": lambda liar: liar.metadata.update(token_endpoint=7),
    "no endpoint": lambda liar: liar.metadata.update(jwks_uri=None),
    "no PKCE": lambda liar: liar.metadata.update(code_challenge_methods_supported=["plain"]),
    "not found": lambda liar: liar.replies.update({DISCOVERY: (404, {"error": "x"})}),
    "a page": lambda liar: liar.replies.update({DISCOVERY: (200, b"<html>")}),
    "a list": lambda liar: liar.replies.update({DISCOVERY: (200, b"[]")}),
    "a deep nest": lambda liar: liar.replies.update({DISCOVERY: (200, b"[" * 100_000)}),
    "without end": lambda liar: liar.replies.update({DISCOVERY: (200, b'{"a":"' + b"x" * (600 << 10))}),
    "redirected": lambda liar: liar.replies.update({DISCOVERY: (302, b"")}),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_provider_that_announces_something_wrong_is_told(liar: Liar, wrong: Callable[[Liar], Any]) -> None:
    wrong(liar)
    with pytest.raises(AdapterError) as told:
        generic(liar.issuer).begin(CALLBACK)
    assert told.value.hint
    with pytest.raises(AdapterError):
        generic(liar.issuer).check()


@pytest.mark.parametrize("place", [DISCOVERY, "/token", "/jwks"])
@pytest.mark.parametrize("how", ["hanging", "dripping"])
def test_a_provider_that_does_not_answer_is_told_with_its_seconds(liar: Liar, place: str, how: str) -> None:
    adapter = generic(liar.issuer, timeout=1)
    departure = adapter.begin(CALLBACK)
    liar.nonce = departure.nonce
    getattr(liar, how).add(place)
    with pytest.raises(ConnectionError, match="within 1 seconds") as told:
        adapter.finish(departure, {"state": departure.state, "code": "c"})
    assert not told.value.permanent


def test_a_provider_that_is_away_is_told(liar: Liar) -> None:
    with pytest.raises(ConnectionError, match="cannot be reached"):
        generic("http://127.0.0.1:1").begin(CALLBACK)
    liar.replies = {"/token": (503, b"busy")}
    with pytest.raises(AuthenticationError, match="503"):
        answered(liar)


def test_a_certificate_that_nobody_knows_is_refused(certificates: Certificates) -> None:
    with lying(certificates) as secret:
        with pytest.raises(ConnectionError, match="not trusted") as told:
            generic(secret.issuer).begin(CALLBACK)
        assert told.value.permanent
        assert generic(secret.issuer, ca_file=str(certificates.authority)).check().keys == 1


@pytest.mark.parametrize(
    ("ways", "secret", "form", "header"),
    [
        (None, SECRET, {}, "Basic ZGJhY2t1cDpzM2NyZXQlMjAlMjYlMjBvZiUyRnRoZSUyMGNsaWVudCUyQg=="),
        (["client_secret_post"], SECRET, {"client_id": CLIENT, "client_secret": SECRET}, ""),
        (None, None, {"client_id": CLIENT}, ""),
    ],
)
def test_a_client_says_who_it_is_in_the_way_that_is_announced(
    liar: Liar, ways: list[str] | None, secret: str | None, form: dict[str, str], header: str
) -> None:
    liar.metadata = {"token_endpoint_auth_methods_supported": ways} if ways else {}
    answered(liar, generic(liar.issuer, secret))
    ((sent, authorization),) = liar.forms
    own = {name: value for name, value in sent.items() if name.startswith("client_")}
    assert (own, authorization) == (form, header)


def test_no_error_tells_a_secret(liar: Liar) -> None:
    config = GenericConfig(issuer=liar.issuer, client_id=CLIENT, client_secret=SecretStr(SECRET))
    remember_secrets(config)
    liar.replies = {"/token": (400, {"error": "invalid_request", "error_description": f"bad secret {SECRET}"})}
    with pytest.raises(AuthenticationError) as told:
        answered(liar, Generic(config))
    assert SECRET not in str(told.value) + repr(pickle.dumps(told.value)) + repr(config)
    assert told.value.__suppress_context__ or told.value.__context__ is None


# --- configurations ---


@pytest.mark.parametrize(
    ("url", "base", "application"),
    [
        ("authentik+https://auth.example.org/backups", "https://auth.example.org", "backups"),
        ("https://auth.example.org/application/o/backups/", "https://auth.example.org", "backups"),
        (f"https://auth.example.org/application/o/backups{DISCOVERY}", "https://auth.example.org", "backups"),
        ("authentik+https://example.org/auth/application/o/b-1/?timeout=5", "https://example.org/auth", "b-1"),
    ],
)
def test_an_application_of_authentik_is_read_from_its_address(url: str, base: str, application: str) -> None:
    config = AuthentikConfig.from_url(url, OURS)
    assert (config.base_url, config.application, config.client_secret) == (base, application, None)


@pytest.mark.parametrize(
    "url", ["authentik+https://auth.example.org", "authentik+https://auth.example.org/", "authentik+https:///x", "x"]
)
def test_an_address_without_an_application_is_none_of_authentik(url: str) -> None:
    with pytest.raises(ConfigurationError):
        AuthentikConfig.from_url(url, OURS)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org",
        "ftp://id.example.org",
        "https://user:hunter2@id.example.org",
        "https://id.example.org/#x",
        "https://id.example.org/ x",
        "id.example.org",
        "https://id.example.org?scopes=email",
        "https://id.example.org?timeout=0",
        "https://id.example.org?what=ever",
        "https://id.example.org?token_endpoint=https://id.example.org/token",
        "https://[",
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        GenericConfig.from_url(url, OURS)
    assert "hunter2" not in str(refused.value) + refused.value.hint


def test_every_setting_can_be_an_option_of_the_address() -> None:
    url = f"https://id.example.org/realms/x{DISCOVERY}?scopes=openid%20groups&groups_claim=roles&timeout=5"
    config = GenericConfig.from_url(url, {**OURS, "client_secret": ""})
    assert (config.issuer, config.scopes, config.groups_claim) == (
        "https://id.example.org/realms/x", "openid groups", "roles",
    )  # fmt: skip
    assert config.client_secret is None


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_kind_of_provider_has_what_the_others_have(kind: str) -> None:
    adapter = PROVIDERS[kind]
    assert issubclass(adapter.config_type, BaseModel)
    assert adapter.config_type.model_config == GenericConfig.model_config
    assert adapter.schemes and adapter.label


def test_a_departure_can_be_kept_as_text(provider: Provider) -> None:
    departure = generic(provider.issuer).begin(CALLBACK)
    assert Departure(**json.loads(json.dumps(dataclasses.asdict(departure)))) == departure


@pytest.mark.parametrize("mapping", ["staff", "=readers", "staff=", "staff=readers, staff=others"])
def test_a_mapping_that_cannot_be_read_is_refused(mapping: str) -> None:
    with pytest.raises(ConfigurationError, match="mapping"):
        GenericConfig.from_url("https://id.example.org", {**OURS, "mapping": mapping})


def test_a_mapping_says_which_group_stands_for_which() -> None:
    mapping = "dba=operators, a=b=readers\n"
    config = GenericConfig.from_url("https://id.example.org", {**OURS, "mapping": mapping})
    assert config.mapped_groups == {"dba": "operators", "a=b": "readers"}
