"""What the pages of the entrance have in common: templates without a script, cookies, and where to go afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.errors import DBackupError, TooManyAttempts
from dashboard.guard import COOKIE
from dashboard.place import TEMPLATES
from services.accounts.sessions import Client, Opened

LONGEST = 2048  # characters of anything that is typed, or comes back, here


def typed(form: FormData, field: str) -> str:
    """What was typed into a field, or an empty text."""
    value = form.get(field)
    return value[:LONGEST] if isinstance(value, str) else ""


def client_of(request: Request) -> Client:
    """Where a request comes from."""
    address = request.client.host if request.client else ""
    return Client(address, request.headers.get("user-agent", ""))


def admitted(request: Request, opened: Opened, after: str) -> Response:
    """Let somebody in whose session has begun."""
    answer = RedirectResponse(after, 303)
    set_cookie(answer, request, COOKIE, opened.token, (opened.ends_at - datetime.now(UTC)).total_seconds())
    return answer


def local(path: str) -> str:
    """Where to go after the login: a page of ours, whatever a link says."""
    harmless = path.startswith("/") and not path.startswith(("//", "/\\", "/login", "/logout", "/sso"))
    return path if harmless and path.isprintable() and "\\" not in path else "/"


def root(request: Request) -> str:
    """Where this system is, as the browser sees it."""
    return f"{request.url.scheme}://{request.url.netloc}"


def set_cookie(answer: Response, request: Request, name: str, value: str, seconds: float, *, path: str = "/") -> None:
    """Give the browser a cookie that no script reads, and that no other site's form sends."""
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, int(seconds), path=path, httponly=True, samesite="lax", secure=secure)


def page(template: str, title: str, error: DBackupError | None = None, **values: object) -> Response:
    """One of our pages, with what is wrong, if anything is."""
    facts: Mapping[str, object] = {"name": "", "providers": (), **values}
    problem, hint = (error.message, error.hint) if error else ("", "")
    text = _templates().get_template(template).render(title=title, problem=problem, hint=hint, **facts)
    if isinstance(error, TooManyAttempts):
        return HTMLResponse(text, 429, {"Retry-After": f"{error.retry_after:.0f}"})
    return HTMLResponse(text, 401 if error else 200)


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
