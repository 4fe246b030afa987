"""Who calls: whoever has the bearer token. A cookie opens nothing here, so that no other site can ride on one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from actions import sessions
from actions.door import Identity
from core.errors import AuthenticationError

_bearer = HTTPBearer(auto_error=False, description="An API token: dbackup token create")


def caller(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Identity:
    """Whoever has the token. Raises AuthenticationError, and TooManyAttempts after too many wrong ones."""
    if given is None:
        raise AuthenticationError("this takes a bearer token", hint="make one: dbackup token create, or My account")
    return sessions.identify_token(given.credentials, request.client.host if request.client else "")


Caller = Annotated[Identity, Depends(caller)]
