"""``/recovery-kit``: the keys of the profiles as a file, for who types their password once more.

The keys go from here into the download and nowhere else: no page keeps them, and no address leads to them.
"""

from __future__ import annotations

from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actions import keys, sessions
from core.errors import DBackupError
from dashboard.guard import COOKIE
from dashboard.plain import page, typed

PATH = "/recovery-kit"
EVERY = "every profile"


async def form(request: Request) -> Response:
    """Ask for the password."""
    return _asked(request.query_params.get("profile", ""))


async def give(request: Request) -> Response:
    """The kit, or why there is none."""
    filled = await request.form()
    profile, password = typed(filled, "profile"), SecretStr(typed(filled, "password"))
    try:
        written = await run_in_threadpool(_kit, request, (profile,) if profile else (), password)
    except DBackupError as error:
        return _asked(profile, error)
    name = f"dbackup-recovery-kit{f'-{profile}' if profile else ''}.zip"  # a profile that exists has a harmless name
    return Response(
        written, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _asked(profile: str, error: DBackupError | None = None) -> Response:
    return page("kit.html", "Recovery Kit", error, profile=profile, which=profile or EVERY)


def _kit(request: Request, names: tuple[str, ...], password: SecretStr) -> bytes:
    address = request.client.host if request.client else ""
    return keys.revealed_kit(sessions.identify(request.cookies.get(COOKIE, ""), address), names, password)


ROUTES = (Route(PATH, form), Route(PATH, give, methods=["POST"]))
