"""The way in and out: login, second factor, the first administrator's link, logout. Plain pages, without a script.

A failure says the same whether a name exists or not. The session is a new random token each time, so that nobody can
plant one before somebody logs in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from actions import sessions
from core.errors import DBackupError, SecondFactorNeeded, TooManyAttempts
from dashboard.guard import COOKIE
from dashboard.pending import LIFETIME, Waiting
from dashboard.place import TEMPLATES
from services.accounts.sessions import Client, Opened

SECOND = "dbackup_second"  # the cookie of a first step
LONGEST = 2048  # characters of anything that is typed here


def routes() -> Sequence[Route]:
    """The routes of the entrance."""
    entrance = Entrance(Waiting())
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

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    async def form(self, request: Request) -> Response:
        """The form for name and password."""
        return _page("login.html", "Log in", next=local(request.query_params.get("next", "/")))

    async def log_in(self, request: Request) -> Response:
        """The first step."""
        form = await request.form()
        name, password, after = _text(form, "name"), SecretStr(_text(form, "password")), local(_text(form, "next"))
        try:
            opened = await run_in_threadpool(sessions.log_in, name, password, client_of(request))
        except SecondFactorNeeded:
            answer = _page("second.html", "One more step", next=after)
            _set(answer, request, SECOND, self._waiting.add(name, password), LIFETIME)
            return answer
        except DBackupError as error:
            return _page("login.html", "Log in", error, next=after, name=name)
        return admitted(request, opened, after)

    async def second(self, request: Request) -> Response:
        """The second step, with a code."""
        form = await request.form()
        after, token = local(_text(form, "next")), request.cookies.get(SECOND, "")
        step = self._waiting.get(token)
        if step is None:
            return RedirectResponse("/login", 303)
        code = SecretStr(_text(form, "code").replace(" ", ""))
        try:
            opened = await run_in_threadpool(sessions.log_in, step.name, step.password, client_of(request), code)
        except DBackupError as error:
            return _page("second.html", "One more step", error, next=after)
        self._waiting.drop(token)
        answer = admitted(request, opened, after)
        answer.delete_cookie(SECOND)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session. A link on another site ends nothing: it leads to a button here."""
        if request.method == "GET" and request.headers.get("sec-fetch-site") not in ("same-origin", "none"):
            return _page("logout.html", "Log out")
        await run_in_threadpool(sessions.log_out, request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    async def setup(self, request: Request) -> Response:
        """The form behind the first administrator's link."""
        return _page("setup.html", "The first administrator", link=request.query_params.get("link", ""))

    async def first_administrator(self, request: Request) -> Response:
        """Make the first administrator, and let them in."""
        form = await request.form()
        name, password, link = _text(form, "name"), SecretStr(_text(form, "password")), _text(form, "link")
        try:
            await run_in_threadpool(sessions.accept_invitation, link, name, password, client_of(request))
            opened = await run_in_threadpool(sessions.log_in, name, password, client_of(request))
        except DBackupError as error:
            return _page("setup.html", "The first administrator", error, link=link, name=name)
        return admitted(request, opened, "/")


def client_of(request: Request) -> Client:
    """Where a request comes from."""
    address = request.client.host if request.client else ""
    return Client(address, request.headers.get("user-agent", ""))


def admitted(request: Request, opened: Opened, after: str) -> Response:
    """Let somebody in whose session has begun."""
    answer = RedirectResponse(after, 303)
    _set(answer, request, COOKIE, opened.token, (opened.ends_at - datetime.now(UTC)).total_seconds())
    return answer


def local(path: str) -> str:
    """Where to go after the login: a page of ours, whatever a link says."""
    harmless = path.startswith("/") and not path.startswith(("//", "/\\", "/login", "/logout"))
    return path if harmless and path.isprintable() and "\\" not in path else "/"


def _set(answer: Response, request: Request, name: str, value: str, seconds: float) -> None:
    answer.set_cookie(
        name, value, max_age=int(seconds), httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def _text(form: FormData, field: str) -> str:
    value = form.get(field)
    return value[:LONGEST] if isinstance(value, str) else ""


def _page(template: str, title: str, error: DBackupError | None = None, **values: str) -> Response:
    facts: Mapping[str, object] = {"name": "", "providers": (), **values}
    problem, hint = (error.message, error.hint) if error else ("", "")
    text = _templates().get_template(template).render(title=title, problem=problem, hint=hint, **facts)
    if isinstance(error, TooManyAttempts):
        return HTMLResponse(text, 429, {"Retry-After": f"{error.retry_after:.0f}"})
    return HTMLResponse(text, 401 if error else 200)


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
