"""What listens on the address of the dashboard: the way in, the pages behind it, and what machines ask for.

One ASGI application. The guard stands before all of it.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from actions import sessions
from core.errors import DBackupError
from dashboard import audit_export, downloads, entrance, kit, monitoring, single_sign_on
from dashboard.guard import Guard
from dashboard.http_api.app import PATH, http_api
from dashboard.offered import Offered
from dashboard.place import ASSETS, SCRIPT


def application() -> st.App:
    """The application. One for each process: Streamlit holds its settings globally."""
    offered = Offered(sessions.offers)
    ways_in = (*entrance.routes(offered), *single_sign_on.routes(offered))
    return st.App(
        SCRIPT,
        routes=[
            *monitoring.ROUTES,
            *ways_in,
            *audit_export.ROUTES,
            *downloads.ROUTES,
            *kit.ROUTES,
            Mount(PATH, http_api()),
            Mount("/assets", StaticFiles(directory=ASSETS)),
        ],
        middleware=[Middleware(Guard, enters=_enters)],
        lifespan=_warmed,
    )


@asynccontextmanager
async def _warmed(app: st.App) -> AsyncIterator[None]:
    """Import what pages need, and read all jobs, while nobody waits: the first visitor would wait for seconds."""
    threading.Thread(target=_remember_jobs, daemon=True).start()
    yield


def _remember_jobs() -> None:
    from deployments.known_jobs import known

    known.remember()


def _enters(token: str, connection: HTTPConnection) -> bool:
    try:
        sessions.identify(token, connection.client.host if connection.client else "")
    except DBackupError:
        return False
    return True
