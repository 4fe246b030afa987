"""Everything that answers a browser or a program over HTTP, composed in one place."""

from __future__ import annotations

from starlette.applications import Starlette

from dashboard import monitoring


def application() -> Starlette:
    """The whole of it, as an ASGI application."""
    return Starlette(routes=[*monitoring.ROUTES])
