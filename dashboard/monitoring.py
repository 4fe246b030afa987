"""What monitoring asks for: ``/health``, which everybody may ask, and ``/metrics``, for whoever knows the token.

Both answer a program, and no cookie opens either. Health says one word, because anybody can read it.
"""

from __future__ import annotations

import hmac

from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from actions import system
from actions.door import Identity
from core.errors import DBackupError
from core.permissions import Permission
from core.settings import settings

MONITOR = Identity("monitoring", frozenset({Permission.SYSTEM_READ}))
NOT_CACHED = {"Cache-Control": "no-store"}


async def health(request: Request) -> Response:
    """200 and ``ok``, or 503 and ``degraded``."""
    good = await run_in_threadpool(system.healthy, MONITOR)
    return PlainTextResponse("ok\n" if good else "degraded\n", 200 if good else 503, NOT_CACHED)


async def metrics(request: Request) -> Response:
    """Everything that is measured, in the form that the asking program prefers; 503 while the catalog fails."""
    if refusal := _refusal(request):
        return refusal
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    try:
        written = await run_in_threadpool(lambda: encode(system.metrics(MONITOR)))
    except DBackupError as error:
        return PlainTextResponse(f"{error.message}\n", 503, NOT_CACHED)
    return Response(written, headers={"Content-Type": content_type, **NOT_CACHED})


def _refusal(request: Request) -> Response | None:
    """Why somebody gets no metrics, or None. Without a token set, nobody does."""
    token = settings().metrics_token
    if token is None:
        return PlainTextResponse("set DBACKUP_METRICS_TOKEN to open this page\n", 403, NOT_CACHED)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    wanted = token.get_secret_value()
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode()):
        return None
    return PlainTextResponse(
        "this page takes a bearer token: DBACKUP_METRICS_TOKEN\n", 401, {**NOT_CACHED, "WWW-Authenticate": "Bearer"}
    )


ROUTES = (Route("/health", health), Route("/metrics", metrics))
