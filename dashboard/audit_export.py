"""``/audit.csv``: the audit as a table for other programs, written as it is read, however long it is.

A cell that a spreadsheet would take for a formula gets an apostrophe in front: people choose names, and others open the
table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from actions import audit, sessions
from core.errors import AuthenticationError, DBackupError, PermissionError
from dashboard.guard import COOKIE
from db.audit import Entry, Wanted

PATH = "/audit.csv"
HEADINGS = ("when", "who", "action", "target", "from", "result", "reason")
_STATUS = {AuthenticationError: 401, PermissionError: 403}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def link(wanted: Wanted) -> str:
    """Where these entries can be fetched."""
    moments = {"since": wanted.since, "until": wanted.until}
    asked = {"who": wanted.who, "action": wanted.action, "result": wanted.result}
    asked |= {name: moment.isoformat() for name, moment in moments.items() if moment}
    return f"{PATH}?{urlencode({name: value for name, value in asked.items() if value})}"


async def export(request: Request) -> Response:
    """The table, or why there is none."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        return PlainTextResponse("this request comes from another site\n", 403)
    try:
        entries = await run_in_threadpool(_entries, request)
    except ValueError:
        return PlainTextResponse("since and until are moments, as 2026-03-01T12:00:00+00:00\n", 400)
    except DBackupError as error:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)
        return PlainTextResponse(f"{error.message}\n{error.hint}\n", status)
    name = f"audit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(written(entries), media_type="text/csv; charset=utf-8", headers=headers)


def _entries(request: Request) -> Iterator[Entry]:
    who = sessions.identify(request.cookies.get(COOKIE, ""), request.client.host if request.client else "")
    return audit.every(who, asked_for(request.query_params))


def asked_for(parameters: Mapping[str, str]) -> Wanted:
    """Which entries the address of a page or of the table asks for. Raises ValueError for what is no moment."""
    since, until = (_moment(parameters.get(name, "")) for name in ("since", "until"))
    return Wanted(since, parameters.get("who", ""), parameters.get("action", ""), parameters.get("result", ""), until)


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def written(entries: Iterable[Entry]) -> Iterator[str]:
    """The lines of the table."""
    line = io.StringIO()
    writer = csv.writer(line)
    for row in _rows(entries):
        writer.writerow(map(_harmless, row))
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _rows(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    yield HEADINGS
    for one in entries:
        moment = one.moment.astimezone(UTC).isoformat(timespec="seconds")
        yield (moment, one.who, one.action, one.target, one.origin, one.result, one.reason)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


ROUTES = (Route(PATH, export),)
