"""Identity providers: a certified one, on its own paths and on Authentik's, and one that lies as it is told to.

At the certified one every login has the same password; what it says of somebody stands in :data:`PEOPLE`.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.servers.certificates import Certificates
from tests.servers.install import IDENTITY_PROVIDER, INSTALL, node_program
from tests.servers.processes import free_port, started

CLIENT, SECRET = "dbackup", "s3cret & of/the client+"
SLUG = "dbackup"
PEOPLE: dict[str, dict[str, Any]] = {
    "grace": {
        "preferred_username": "grace",
        "email": "grace@example.org",
        "email_verified": True,
        "groups": ["staff", "dba"],
    },
    "mallory": {"preferred_username": "mallory", "email": "ada@example.org", "email_verified": False},
    "nobody": {},
}
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Provider:
    """A certified provider, and the addresses that it lets answers go to."""

    issuer: str
    secret: str = field(repr=False)

    def answers_to(self, url: str, login: str) -> dict[str, str]:
        """Go where the browser would be sent, log in there as somebody, and give what comes back."""
        with httpx.Client(timeout=20) as browser:
            for _ in range(20):
                answer = browser.get(url)
                while "<form" in answer.text:
                    action, form = _filled(answer, login)
                    answer = browser.post(action, data=form)
                url = urljoin(str(answer.url), answer.headers.get("location", ""))
                if "code=" in url or "error=" in url:
                    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        raise AssertionError(f"the provider sent nobody back: {answer.status_code} {answer.text[:500]}")


def _filled(page: httpx.Response, login: str) -> tuple[str, dict[str, str]]:
    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
    assert action and prompt, page.text[:1000]
    return urljoin(str(page.url), action[1]), {"prompt": prompt[1], "login": login, "password": "any"}


@contextmanager
def certified(folder: Path, callbacks: list[str], *, authentik: bool = False, logout: str = "") -> Iterator[Provider]:
    """The certified provider, on its own paths or on Authentik's."""
    if not IDENTITY_PROVIDER.folder.exists():
        pytest.fail(f"the identity provider is not installed; {INSTALL}")
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    issuer = f"{root}/application/o/{SLUG}/" if authentik else root
    client = {"client_id": CLIENT, "client_secret": SECRET, "redirect_uris": callbacks}
    settings = {
        "port": port,
        "issuer": issuer,
        "clients": [client | {"post_logout_redirect_uris": [logout] if logout else []}],
        "accounts": PEOPLE,
        "routes": _AUTHENTIK_ROUTES if authentik else {},
        "rewrites": {f"/application/o/{SLUG}{DISCOVERY}": DISCOVERY} if authentik else {},
        "fullTokens": authentik,
    }
    program = Path(shutil.copy(IDENTITY_PROVIDER.source / "provider.mjs", folder))
    (folder / "node_modules").symlink_to(IDENTITY_PROVIDER.folder / "node_modules")
    environment = {**os.environ, "PROVIDER_SETTINGS": json.dumps(settings)}

    def ready() -> bool:
        try:
            return httpx.get(f"{issuer.rstrip('/')}{DISCOVERY}").is_success
        except httpx.TransportError:
            return False

    with started([node_program(), "--preserve-symlinks", program], ready, folder / "provider.log", env=environment):
        yield Provider(issuer, SECRET)


_AUTHENTIK_ROUTES = {
    "authorization": "/application/o/authorize/",
    "token": "/application/o/token/",
    "userinfo": "/application/o/userinfo/",
    "jwks": f"/application/o/{SLUG}/jwks/",
    "end_session": f"/application/o/{SLUG}/end-session/",
}

CALLBACK = "http://127.0.0.1:1/sso/corp/callback"


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The certified provider on its own paths. Its answers go to :data:`CALLBACK`."""
    with certified(tmp_path_factory.mktemp("provider"), [CALLBACK]) as running:
        yield running


@pytest.fixture(scope="session")
def authentik_layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The certified provider on Authentik's paths. Its answers go to :data:`CALLBACK`."""
    with certified(tmp_path_factory.mktemp("authentik"), [CALLBACK], authentik=True) as running:
        yield running


# --- one that lies ---

KEY, OTHER_KEY = (ECKey.generate_key("P-256", {"kid": "one"}) for _ in range(2))
Reply = Mapping[str, Any] | bytes


@dataclass
class Liar:
    """A provider whose every answer a test can change. Unchanged, they are right."""

    issuer: str = ""
    nonce: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    key: Any = field(default_factory=lambda: KEY)
    announced: list[dict[str, Any]] = field(default_factory=lambda: [KEY.as_dict(private=False)])
    userinfo: dict[str, Any] = field(default_factory=dict)
    id_token: str | None = None
    replies: dict[str, tuple[int, Reply]] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    dripping: set[str] = field(default_factory=set)
    forms: list[tuple[dict[str, str], str]] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)

    def reply(self, path: str) -> tuple[int, Reply]:
        if path in self.replies:
            return self.replies[path]
        answers: dict[str, Callable[[], Reply]] = {
            DISCOVERY: self._discovery,
            "/jwks": lambda: {"keys": self.announced},
            "/token": lambda: {"access_token": "access", "token_type": "Bearer", "id_token": self.token()},
            "/userinfo": lambda: self.userinfo,
        }
        return (200, answers[path]()) if path in answers else (404, {})

    def _discovery(self) -> Reply:
        places = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/jwks"}
        return {"issuer": self.issuer} | {one: self.issuer + path for one, path in places.items()} | self.metadata

    def token(self) -> str:
        if self.id_token is not None:
            return self.id_token
        now = int(time.time())
        told = {"iss": self.issuer, "sub": "s1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": self.nonce}
        kept = {name: value for name, value in (told | self.claims).items() if name not in self.without}
        header = {"alg": "ES256", "kid": "one"} | self.header
        return jwt.encode(header, kept, self.key, algorithms=[header["alg"]])


def forged(algorithm: str, claims: Mapping[str, Any], secret: bytes = b"") -> str:
    """A token that a library would not make: without a signature, or signed with whatever is at hand."""
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": "one"}, claims)]
    signed = hmac.digest(secret, ".".join(parts).encode(), "sha256") if secret else b""
    return ".".join([*parts, _encoded(signed)])


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@contextmanager
def lying(certificates: Certificates | None = None) -> Iterator[Liar]:
    """A liar of this process, on a free port of the loopback."""
    liar = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            plain = {name: values[0] for name, values in form.items()}
            liar.forms.append((plain, self.headers.get("Authorization", "")))
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in liar.hanging:
                liar.let_go.wait(60)
            status, said = liar.reply(path)
            written = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            for position in range(len(written) if path in liar.dripping else 0):
                self.wfile.write(written[position : position + 1])
                if liar.let_go.wait(0.2):
                    return
            self.wfile.write(written)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients hang up on purpose
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, port = "https" if certificates else "http", server.server_address[1]
    liar.issuer = f"{scheme}://127.0.0.1:{port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield liar
    finally:
        liar.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A provider that lies as it is told to."""
    with lying() as running:
        yield running
