"""The way in through an identity provider: there, back, and whatever is wrong as a sentence on the login page.

The browser that began brings its ticket back in a cookie of ten minutes that no script can read. It is for one answer,
and dropped however the login ends. Providers may be slow, so only a few threads wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from actions import sessions
from core.errors import DBackupError
from dashboard import plain
from dashboard.offered import Offered
from services.accounts.journeys import LIFETIME

TICKET = "dbackup_sso"
PATH = "/sso"
_AT_ONCE = 8  # threads: what a stranger begins must not keep others from their pages
Result = TypeVar("Result")


def routes(offered: Offered) -> Sequence[Route]:
    """The routes of single sign-on."""
    return (
        Route(f"{PATH}/{{provider}}", SingleSignOn(offered).depart),
        Route(f"{PATH}/{{provider}}/callback", SingleSignOn(offered).arrive),
    )


class SingleSignOn:
    """The two halves of a login elsewhere."""

    def __init__(self, offered: Offered) -> None:
        self._offered = offered

    async def depart(self, request: Request) -> Response:
        """Send the browser to the provider."""
        name, after = request.path_params["provider"], plain.local(request.query_params.get("next", "/"))
        callback = f"{plain.root(request)}{PATH}/{name}/callback"
        try:
            begun = await waited(sessions.begin_single_sign_on, name, callback, after)
        except DBackupError as error:
            return await self._told(error, after)
        answer = RedirectResponse(begun.url, 303)
        plain.set_cookie(answer, request, TICKET, begun.ticket, LIFETIME.total_seconds(), path=PATH)
        return answer

    async def arrive(self, request: Request) -> Response:
        """Take the browser back, with the provider's answer."""
        name, ticket = request.path_params["provider"], request.cookies.get(TICKET, "")
        said = {key: value[: plain.LONGEST] for key, value in request.query_params.items()}
        try:
            opened, after = await waited(sessions.finish_single_sign_on, name, ticket, said, plain.client_of(request))
        except DBackupError as error:
            answer = await self._told(error, "/")
        else:
            answer = plain.admitted(request, opened, plain.local(after))
        answer.delete_cookie(TICKET, path=PATH)
        return answer

    async def _told(self, error: DBackupError, after: str) -> Response:
        return plain.page("login.html", "Log in", error, next=after, providers=await self._offered.now())


async def waited(function: Callable[..., Result], *arguments: object) -> Result:
    """Call what may wait for a provider, in one of the few threads for that."""
    return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=_limiter())


_limiters: list[anyio.CapacityLimiter] = []


def _limiter() -> anyio.CapacityLimiter:
    """The one of this process; it can be made only where an event loop runs."""
    if not _limiters:
        _limiters.append(anyio.CapacityLimiter(_AT_ONCE))
    return _limiters[0]
