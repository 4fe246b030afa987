"""What stands before every page: a session, the headers that keep other sites out, and where a request may come from.

Streamlit speaks over one WebSocket, so the guard covers both protocols. It says who may enter; what somebody may do is
asked again by every action.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "dbackup_session"
LOGIN = "/login"
OPEN = ("/login", "/logout", "/setup", "/sso", "/health", "/metrics", "/api", "/assets", "/static")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Enters = Callable[[str, HTTPConnection], bool]
"""Whether the token of a cookie opens a session that lives."""


class Guard:
    """ASGI middleware: lets in whoever has a session, and everybody to the few open paths."""

    def __init__(self, app: ASGIApp, *, enters: Enters) -> None:
        self._app, self._enters = app, enters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if scope["type"] == "websocket":
            allowed = _same_origin(connection.headers, required=True) and await self._is_inside(connection)
            await (self._app(scope, receive, send) if allowed else _refuse_socket(receive, send))
            return
        await self._http(connection, receive, _with_headers(send, scope))

    async def _http(self, connection: HTTPConnection, receive: Receive, send: Send) -> None:
        scope = connection.scope
        if scope["method"] not in _SAFE and not _same_origin(connection.headers, required=not _has_token(connection)):
            answer: Response = PlainTextResponse("this request comes from another site", 403)
        elif _is_open(scope["path"]) or await self._is_inside(connection):
            await self._app(scope, receive, send)
            return
        elif "text/html" in connection.headers.get("accept", ""):
            asked = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            answer = RedirectResponse(f"{LOGIN}?next={quote(asked)}" if asked != "/" else LOGIN, 303)
        else:
            answer = PlainTextResponse("log in first", 401)
        await answer(scope, receive, send)

    async def _is_inside(self, connection: HTTPConnection) -> bool:
        token = connection.cookies.get(COOKIE)
        return bool(token) and await run_in_threadpool(self._enters, str(token), connection)


def _is_open(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in OPEN)


def _has_token(connection: HTTPConnection) -> bool:
    """Whether a script asks: it has no cookie that another site could ride on."""
    return connection.headers.get("authorization", "").lower().startswith("bearer ") and not connection.cookies


def _same_origin(headers: Headers, *, required: bool) -> bool:
    """Whether a request comes from our own pages. Browsers name the origin of whatever changes something."""
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    origin = headers.get("origin")
    return not required if origin is None else urlsplit(origin).netloc == headers.get("host")


async def _refuse_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4401, "reason": "log in first"})


def _with_headers(send: Send, scope: Scope) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _headers().items():
                headers.setdefault(name, value)
            if not scope["path"].startswith("/static/"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return wrapped


@cache
def _headers() -> Mapping[str, str]:
    scripts = " ".join(f"'sha256-{one}'" for one in _inline_scripts())
    policy = {
        "default-src": "'self'",
        "script-src": f"'self' 'wasm-unsafe-eval' {scripts}",
        "style-src": "'self' 'unsafe-inline'",  # Streamlit writes its styles while it runs
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def _inline_scripts() -> list[str]:
    """The digests of what Streamlit's own first page runs; every other script must be a file of ours."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    found = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found]
