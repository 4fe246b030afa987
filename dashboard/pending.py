"""Who has given the right password and still owes a code: kept here for some minutes, in memory and nowhere else.

The browser holds a random token, so the password does not travel a second time and stands in no page and no cookie.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

LIFETIME = 300.0  # seconds
MOST = 500  # at once; the oldest go first


@dataclass(frozen=True)
class Pending:
    """A first step that was right."""

    name: str
    password: SecretStr
    until: float = field(repr=False)


class Waiting:
    """The first steps that wait for their second one. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._steps: dict[str, Pending] = {}

    def add(self, name: str, password: SecretStr) -> str:
        """Keep a first step, and give its token."""
        token, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._steps = {key: one for key, one in self._steps.items() if one.until > now}
            while len(self._steps) >= MOST:
                self._steps.pop(next(iter(self._steps)))
            self._steps[token] = Pending(name, password, now + LIFETIME)
        return token

    def get(self, token: str) -> Pending | None:
        """The first step of this token, or None when it is over."""
        with self._lock:
            found = self._steps.get(token)
        return found if found and found.until > self._clock() else None

    def drop(self, token: str) -> None:
        """Forget it: the second step was taken."""
        with self._lock:
            self._steps.pop(token, None)
