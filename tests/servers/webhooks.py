"""Servers for webhooks: one that takes any JSON, and one that refuses whatever Discord documents that it refuses.

Discord does not say which characters its limits count; this one counts a character outside the basic plane as two,
which is the strictest reading. Both can be told how to answer the next requests.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.servers.certificates import Certificates

CHECK = "8a1f0c3e-77b2-4d5e-9a60-c0ffee12ab34"  # of the ping service
WEBHOOK, TOKEN = "123456789012345678", "t0ken-of-the-Webhook_x"
LIMITS = {"title": 256, "description": 4096, "name": 256, "value": 1024, "footer": 2048, "total": 6000, "username": 80}
MOST_FIELDS, MOST_EMBEDS = 25, 10


@dataclass(frozen=True)
class Answer:
    """What a request gets. ``after`` is how many seconds it must be left alone then, with a status of 429."""

    status: int
    body: Mapping[str, Any] | str = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


@dataclass(frozen=True)
class Called:
    """A call of a ping URL."""

    path: str
    text: str


@dataclass
class Webhooks:
    """One server: the messages that it took, the requests that came too early, and the answers that are to come."""

    port: int = 0
    judge: Callable[[str, Any], Answer] = lambda _path, _message: Answer(200)
    read: Callable[[str, bytes], Any] = lambda _path, body: json.loads(body)
    taken: list[Any] = field(default_factory=list)
    requests: int = 0
    too_early: int = 0
    next: deque[Answer] = field(default_factory=deque)
    hanging: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)
    not_before: float = 0.0

    def answer(self, path: str, body: bytes) -> Answer:
        self.requests += 1
        if self.hanging:
            self.let_go.wait(60)
        if time.monotonic() < self.not_before:
            self.too_early += 1
            return Answer(429, {"message": "too early", "retry_after": 60})
        if self.next:
            planned = self.next.popleft()
            self.not_before = time.monotonic() + planned.after
            return planned
        try:
            message = self.read(path, body)
        except ValueError:
            return Answer(400, {"message": "The request body contains invalid JSON.", "code": 50109})
        verdict = self.judge(path, message)
        if verdict.status < 300:
            self.taken.append(message)
        return verdict


def discord_judges(path: str, message: Any) -> Answer:
    """What Discord says to a message."""
    plain, _, query = path.partition("?")
    parts = plain.strip("/").split("/")
    if parts[:2] != ["api", "webhooks"] or len(parts) != 4 or parts[2] != WEBHOOK:
        return Answer(404, {"message": "Unknown Webhook", "code": 10015})
    if parts[3] != TOKEN:
        return Answer(401, {"message": "Invalid Webhook Token", "code": 50027})
    if wrong := next(_wrong(message), None):
        return Answer(400, {"message": "Invalid Form Body", "code": 50035, "errors": {"_": wrong}})
    return Answer(200, {"id": "1", **message}) if "wait=true" in query else Answer(204)


def healthchecks_judges(path: str, _: Any) -> Answer:
    """What the service says to a ping: 200 also to a check that it does not know, as the real one does."""
    check, _, ending = path.partition("?")[0].strip("/").partition("/")
    return Answer(200, "OK" if check == CHECK and ending in ("", "start", "fail", "log") else "OK (not found)")


def _wrong(message: Any) -> Iterator[str]:
    if not isinstance(message, dict) or set(message) - {"content", "username", "embeds", "allowed_mentions"}:
        yield "unknown keys"
        return
    if not (message.get("content") or message.get("embeds")):
        yield "Cannot send an empty message"
    username = message.get("username", "x")
    if not 1 <= len(username) <= LIMITS["username"] or "discord" in username.lower() or "clyde" in username.lower():
        yield "username"
    embeds = message.get("embeds", [])
    if len(embeds) > MOST_EMBEDS:
        yield "too many embeds"
    for embed in embeds:
        yield from _wrong_in(embed)
    if sum(_total(embed) for embed in embeds) > LIMITS["total"]:
        yield "Embed size exceeds maximum size of 6000"


def _wrong_in(embed: dict[str, Any]) -> Iterator[str]:
    if set(embed) - {"title", "description", "color", "fields", "timestamp", "footer"}:
        yield "unknown keys in an embed"
    for name in ("title", "description"):
        if name in embed and not 1 <= units(embed[name].strip()) <= LIMITS[name]:
            yield name
    if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
        yield "color"
    if "timestamp" in embed:
        datetime.fromisoformat(embed["timestamp"])
    if len(embed.get("fields", [])) > MOST_FIELDS:
        yield "too many fields"
    for one in embed.get("fields", []):
        for name in ("name", "value"):
            if not 1 <= units(one[name].strip()) <= LIMITS[name]:
                yield f"field {name}"
    if not 0 <= units(embed.get("footer", {}).get("text", "")) <= LIMITS["footer"]:
        yield "footer"


def shown(message: Any) -> str:
    """What a reader sees of a message to Discord, which takes a backslash before markup away."""
    (embed,) = message["embeds"]
    lines = [embed["title"], embed.get("description", "")]
    lines += [f"{one['name']}: {one['value']}" for one in embed.get("fields", [])]
    return "\n".join(lines).replace("\\", "")


def units(text: str) -> int:
    """The length of a text in the strictest reading."""
    return len(text.encode("utf-16-le")) // 2


def _total(embed: dict[str, Any]) -> int:
    texts = [embed.get("title", ""), embed.get("description", ""), embed.get("footer", {}).get("text", "")]
    texts += [one[name] for one in embed.get("fields", []) for name in ("name", "value")]
    return sum(map(units, texts))


@contextmanager
def serving(webhooks: Webhooks, certificates: Certificates | None = None) -> Iterator[Webhooks]:
    """A server of this process on a free port of the loopback, with TLS when it has certificates."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = webhooks.answer(self.path, body)
            said = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            written = b"" if answer.status == 204 else said.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(written)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(written)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients hang up on purpose
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    webhooks.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield webhooks
    finally:
        webhooks.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def discord(certificates: Certificates) -> Iterator[Webhooks]:
    """A server that is as strict as Discord."""
    with serving(Webhooks(judge=discord_judges), certificates) as webhooks:
        yield webhooks


@pytest.fixture
def json_service() -> Iterator[Webhooks]:
    """A server that takes any JSON, in clear."""
    with serving(Webhooks()) as webhooks:
        yield webhooks


@pytest.fixture
def healthchecks() -> Iterator[Webhooks]:
    """A ping service with one check, in clear."""
    with serving(Webhooks(judge=healthchecks_judges, read=lambda path, body: Called(path, body.decode()))) as webhooks:
        yield webhooks
