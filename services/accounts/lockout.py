"""Guessing is made slow: after some failures in a row every next attempt has to wait, longer each time.

Counted for the account and for the address it comes from, and for logins through a provider for the address alone. That
is in the database, so that a restart or another process changes nothing. An attempt counts before the password is
looked at, so that many at once are many; a success takes it back. No wait is longer than a quarter of an hour, so
nobody is locked out for ever. Names that do not exist are counted like those that do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from core.errors import TooManyAttempts
from db import attempts
from db.session import Database
from services.accounts import tickets

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

FORGOTTEN = timedelta(days=1)
LONGEST = timedelta(minutes=15)


@dataclass(frozen=True)
class Counter:
    """One of the things that are counted: ``free`` failures cost nothing, the next 1 s, 2 s, 4 s …"""

    subject: str
    free: int

    def wait(self, failures: int) -> timedelta:
        """How long to wait after so many failures in a row."""
        over = failures - self.free
        return timedelta() if over < 0 else min(LONGEST, timedelta(seconds=2 ** min(over, 20)))


def counters(name: str, address: str) -> tuple[Counter, Counter]:
    """The account and the address, which more people may share."""
    return (
        Counter(tickets.digest(f"account {name.strip().lower()}"), free=5),
        Counter(tickets.digest(f"address {address}"), free=20),
    )


def attempt(database: Database, name: str, address: str, now: datetime) -> None:
    """Count an attempt. Raises TooManyAttempts for one that comes too early, which then does not count."""
    _count(database, counters(name, address), now, "too many attempts to log in have failed")


def wrong_token(database: Database, address: str, now: datetime) -> None:
    """Count a token that opens nothing. Raises TooManyAttempts for one that comes too early, which does not count.

    A right one is never kept waiting: others may share the address, and nobody guesses 256 random bits.
    """
    place = Counter(tickets.digest(f"token address {address}"), free=20)
    _count(database, (place,), now, "too many wrong tokens came from this address")


def from_provider(database: Database, address: str, now: datetime) -> None:
    """Count an arrival from an identity provider. Raises TooManyAttempts for one that comes too early."""
    _count(database, (_arrivals(address),), now, "too many logins through a provider have failed from this address")


def vouched_for(database: Database, address: str, now: datetime) -> None:
    """Take an arrival back, which was right, or which nobody could judge. What failed before stays counted."""
    with database.session() as session:
        _take_back(session, _arrivals(address), now)


def _arrivals(address: str) -> Counter:
    """Apart from passwords: who fails at a provider has guessed none, and keeps nobody from typing theirs."""
    return Counter(tickets.digest(f"arrivals from {address}"), free=20)


def _count(database: Database, counted: Sequence[Counter], now: datetime, problem: str) -> None:
    with database.session() as session:
        attempts.forget_before(session, now - FORGOTTEN)
    with database.session() as session:
        rows = [(one, attempts.locked(session, one.subject, now)) for one in counted]
        early = max(row.last_at + one.wait(row.failures) - now for one, row in rows)
        for _, row in rows if early <= timedelta() else ():
            row.failures, row.last_at = row.failures + 1, now
    if early > timedelta():
        seconds = math.ceil(early.total_seconds())
        raise TooManyAttempts(problem, hint=f"try again in {seconds} s", retry_after=float(seconds))


def succeeded(database: Database, name: str, address: str, now: datetime) -> None:
    """Take an attempt back, and what failed before for this account. What the address failed with others stays."""
    account, place = counters(name, address)
    with database.session() as session:
        attempts.forget(session, account.subject)
        _take_back(session, place, now)


def unfinished(database: Database, name: str, address: str, now: datetime) -> None:
    """Take an attempt back that was right as far as it went: the next step need not wait, what failed stays counted."""
    with database.session() as session:
        for one in counters(name, address):
            _take_back(session, one, now)


def _take_back(session: Session, counter: Counter, now: datetime) -> None:
    row = attempts.locked(session, counter.subject, now)
    row.failures = max(0, row.failures - 1)
    row.last_at = now - counter.wait(row.failures)
