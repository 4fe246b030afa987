"""The way in and out: login, second factor, the first administrator's link, logout. Plain pages, without a script.

A failure says the same whether a name exists or not. The session is a new random token each time, so that nobody can
plant one before somebody logs in.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from actions import sessions
from core.errors import DBackupError, SecondFactorNeeded
from core.log import logger
from dashboard import plain
from dashboard.guard import COOKIE
from dashboard.offered import Offered
from dashboard.pending import LIFETIME, Waiting
from dashboard.single_sign_on import waited

SECOND = "dbackup_second"  # the cookie of a first step
log = logger(service="login")


def routes(offered: Offered) -> Sequence[Route]:
    """The routes of the entrance."""
    entrance = Entrance(Waiting(), offered)
    return (
        Route("/login", entrance.form),
        Route("/login", entrance.log_in, methods=["POST"]),
        Route("/login/second", entrance.second, methods=["POST"]),
        Route("/logout", entrance.log_out, methods=["GET", "POST"]),
        Route("/setup", entrance.setup),
        Route("/setup", entrance.first_administrator, methods=["POST"]),
    )


class Entrance:
    """The pages of the entrance."""

    def __init__(self, waiting: Waiting, offered: Offered) -> None:
        self._waiting, self._offered = waiting, offered

    async def form(self, request: Request) -> Response:
        """The form for name and password, and the other ways in."""
        after = plain.local(request.query_params.get("next", "/"))
        return plain.page("login.html", "Log in", next=after, providers=await self._offered.now())

    async def log_in(self, request: Request) -> Response:
        """The first step."""
        form = await request.form()
        name, password = plain.typed(form, "name"), SecretStr(plain.typed(form, "password"))
        after = plain.local(plain.typed(form, "next"))
        try:
            opened = await run_in_threadpool(sessions.log_in, name, password, plain.client_of(request))
        except SecondFactorNeeded:
            answer = plain.page("second.html", "One more step", next=after)
            plain.set_cookie(answer, request, SECOND, self._waiting.add(name, password), LIFETIME)
            return answer
        except DBackupError as error:
            offers = await self._offered.now()
            return plain.page("login.html", "Log in", error, next=after, name=name, providers=offers)
        return plain.admitted(request, opened, after)

    async def second(self, request: Request) -> Response:
        """The second step, with a code."""
        form = await request.form()
        after, token = plain.local(plain.typed(form, "next")), request.cookies.get(SECOND, "")
        step = self._waiting.get(token)
        if step is None:
            return RedirectResponse("/login", 303)
        code = SecretStr(plain.typed(form, "code").replace(" ", ""))
        try:
            opened = await run_in_threadpool(sessions.log_in, step.name, step.password, plain.client_of(request), code)
        except DBackupError as error:
            return plain.page("second.html", "One more step", error, next=after)
        self._waiting.drop(token)
        answer = plain.admitted(request, opened, after)
        answer.delete_cookie(SECOND)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session, here and then at the provider that it began by.

        A link on another site ends nothing: it leads to a button here.
        """
        if request.method == "GET" and request.headers.get("sec-fetch-site") not in ("same-origin", "none"):
            return plain.page("logout.html", "Log out")
        provider = await run_in_threadpool(sessions.log_out, request.cookies.get(COOKIE, ""))
        there = await _logout_url(provider, f"{plain.root(request)}/login") if provider else None
        answer: Response = RedirectResponse("/login", 303)
        if there:  # by a page: browsers do not let a form of ours be redirected to another site
            answer = plain.page("leaving.html", "Logged out", provider=provider, there=there)
        answer.delete_cookie(COOKIE)
        return answer

    async def setup(self, request: Request) -> Response:
        """The form behind the first administrator's link."""
        return plain.page("setup.html", "The first administrator", link=request.query_params.get("link", ""))

    async def first_administrator(self, request: Request) -> Response:
        """Make the first administrator, and let them in."""
        form = await request.form()
        name, password, link = (
            plain.typed(form, "name"),
            SecretStr(plain.typed(form, "password")),
            plain.typed(form, "link"),
        )
        try:
            await run_in_threadpool(sessions.accept_invitation, link, name, password, plain.client_of(request))
            opened = await run_in_threadpool(sessions.log_in, name, password, plain.client_of(request))
        except DBackupError as error:
            return plain.page("setup.html", "The first administrator", error, link=link, name=name)
        return plain.admitted(request, opened, "/")


async def _logout_url(provider: str, after: str) -> str | None:
    """Where somebody logs out at a provider; None also where that is not known now: here they are logged out."""
    try:
        return await waited(sessions.provider_logout, provider, after)
    except DBackupError as error:
        log.warning("nobody was logged out at the provider", provider=provider, reason=error.message)
        return None
