"""``/download``: a file of a backup, streamed from its storage to the browser, however large it is.

Only a name that the manifest lists reaches the storage. A stream that fails is cut off: the browser says that the
download failed, because fewer bytes came than were promised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from actions import downloads, sessions
from actions.downloads import Choice
from core.errors import AuthenticationError, BackupNotFound, DBackupError, PermissionError
from core.jobs import Address
from core.log import logger
from core.streams import Chunks
from dashboard.guard import COOKIE
from services.takeaway import Form, Takeaway

PATH = "/download"
_STATUS = {AuthenticationError: 401, PermissionError: 403, BackupNotFound: 404}
log = logger(service="download")


def link(choice: Choice) -> str:
    """Where a file can be fetched."""
    asked = {"backup": choice.backup, "storage": choice.storage, "file": choice.file, "form": choice.form.value}
    return f"{PATH}?{urlencode(asked)}"


async def download(request: Request) -> Response:
    """The file, or why there is none."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        return PlainTextResponse("this request comes from another site\n", 403)
    try:
        found, drawn = await run_in_threadpool(_begun, request)
    except DBackupError as error:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)
        return PlainTextResponse(f"{error.message}\n{error.hint}\n", status)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}"', "X-Accel-Buffering": "no"}
    if found.size is not None:
        headers["Content-Length"] = str(found.size)
    return StreamingResponse(_sent(drawn, found.name), media_type="application/octet-stream", headers=headers)


def _begun(request: Request) -> tuple[Takeaway, Drawn]:
    """The file, and its bytes, the first of which are there already: what cannot be read at all is known by now."""
    asked = request.query_params
    who = sessions.identify(request.cookies.get(COOKIE, ""), request.client.host if request.client else "")
    storage, form = Address(asked.get("storage", "")), asked.get("form", "")
    if not storage.is_name or form not in list(Form):
        raise BackupNotFound("this link leads to no file", hint="open the backup's page, and take it from there")
    found = downloads.download(who, Choice(asked.get("backup", ""), storage, asked.get("file", ""), Form(form)))
    return found, Drawn(found.chunks)


class Drawn:
    """Bytes that are drawn one chunk at a time, the first at once. Raises what drawing raises."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = iter(chunks)
        self._first: bytes | None = self._draw()

    def next(self) -> bytes | None:
        """The next chunk, or None at the end."""
        first, self._first = self._first, None
        return first if first is not None else self._draw()

    def close(self) -> None:
        """End whatever the bytes are drawn from."""
        if close := getattr(self._chunks, "close", None):
            close()

    def _draw(self) -> bytes | None:
        chunk = next(self._chunks, None)
        return None if chunk is None else bytes(chunk)  # a chunk holds only until the next one is drawn


async def _sent(drawn: Drawn, name: str) -> AsyncIterator[bytes]:
    """The bytes, drawn in threads. Whoever goes away ends the download from the storage, too."""
    try:
        while (chunk := await run_in_threadpool(drawn.next)) is not None:
            yield chunk
    except DBackupError as error:
        log.error("a download broke off", file=name, reason=error.message)
        raise
    finally:
        with suppress(DBackupError, ValueError):  # ValueError: a thread still draws the last chunk
            drawn.close()


ROUTES = (Route(PATH, download),)
