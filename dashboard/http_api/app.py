"""The application below ``/api/v1``. It describes itself at ``openapi.json``, and has no page that loads anything.

Whatever goes wrong is JSON with a ``message`` and a ``hint``, in the words that the command line has for it.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core.errors import (
    AuthenticationError,
    BackupNotFound,
    ConnectionError,
    DBackupError,
    NotFound,
    PermissionError,
    TooManyAttempts,
)
from core.log import logger
from dashboard.http_api.answers import Problem
from dashboard.http_api.routes import router

PATH = "/api/v1"
log = logger(service="api")
_STATUS: dict[type[DBackupError], int] = {
    TooManyAttempts: 429,
    AuthenticationError: 401,
    PermissionError: 403,
    NotFound: 404,
    BackupNotFound: 404,
    ConnectionError: 503,
}
_TOLD = "Every answer that is no success says what is wrong, and what to do about it."


def http_api() -> FastAPI:
    """The application."""
    app = FastAPI(
        title="dbackup",
        version="1",
        description=f"Back up databases. {_TOLD}",
        docs_url=None,
        redoc_url=None,
        responses={401: {"model": Problem}, 403: {"model": Problem}, 429: {"model": Problem}},
    )
    app.include_router(router)
    app.exception_handler(DBackupError)(_foreseen)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_refused)
    app.exception_handler(Exception)(_unforeseen)
    return app


def _foreseen(request: Request, error: DBackupError) -> JSONResponse:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = f"{error.retry_after:.0f}"
    return _problem(status, error.message, error.hint, headers)


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return _problem(422, f"this request cannot be understood: {told}", f"see {PATH}/openapi.json")


def _refused(request: Request, error: HTTPException) -> JSONResponse:
    return _problem(error.status_code, str(error.detail).lower(), f"see {PATH}/openapi.json", dict(error.headers or {}))


def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("a request failed", path=request.url.path, exc_info=error)
    return _problem(500, "something unforeseen went wrong", "the log of the dashboard says what")


def _problem(status: int, message: str, hint: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(Problem(message=message, hint=hint).model_dump(), status, headers)
