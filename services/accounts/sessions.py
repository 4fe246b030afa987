"""Sessions: a browser holds a random token, the database its SHA-256.

A session ends when it was not used for a while, at its absolute end, when it is revoked, and with all others of its
user when the password changes or the user is disabled. It carries no rights: they are read anew with each request.
Whose session it is can be asked without using it: a page that brings itself up to date would keep it for ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.errors import AuthenticationError, ConfigurationError
from core.rights import Rights
from db import people
from db.account_models import SessionRow, UserRow
from db.session import Database
from services.accounts import tickets

_TOUCHED = timedelta(minutes=1)  # when it was last used is written no oftener: a page asks many times a second
_LONGEST_AGENT = 200  # characters


@dataclass(frozen=True)
class Limits:
    """How long a session lives: without use, and at most."""

    idle: timedelta = timedelta(hours=1)
    absolute: timedelta = timedelta(hours=12)


DEFAULTS = Limits()


@dataclass(frozen=True)
class Client:
    """Where somebody comes from: the address of their machine, and what their browser says it is."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True)
class Opened:
    """A new session. ``token`` is for the browser alone, and is never shown again."""

    session_id: str
    ends_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True)
class Visitor:
    """Somebody who has proved who they are, and what they may do at this moment."""

    user_id: str
    name: str
    rights: Rights
    session_id: str | None = None
    token_id: str | None = None


@dataclass(frozen=True)
class LoginSession:
    """One session as its owner and administrators see it."""

    session_id: str
    method: str
    created_at: datetime
    used_at: datetime
    ends_at: datetime
    address: str
    user_agent: str


def open_session(
    session: Session,
    user: UserRow,
    client: Client,
    now: datetime,
    *,
    method: str = "password",
    limits: Limits = DEFAULTS,
) -> Opened:
    """Begin a session in the caller's transaction. Sessions that have ended are removed on the occasion."""
    session.execute(delete(SessionRow).where(SessionRow.ends_at <= now))
    token = tickets.new()
    row = SessionRow(
        session_id=str(uuid.uuid4()),
        token_hash=tickets.digest(token),
        user_id=user.user_id,
        method=method,
        created_at=now,
        used_at=now,
        ends_at=now + limits.absolute,
        address=client.address,
        user_agent=client.user_agent[:_LONGEST_AGENT],
    )
    session.add(row)
    return Opened(row.session_id, row.ends_at, token)


def visitor(database: Database, token: str, now: datetime, limits: Limits = DEFAULTS) -> Visitor:
    """Whose session this is, and their rights now. Raises AuthenticationError when it is none, or has ended.

    This does not count as use: :func:`used` does.
    """
    query = (
        select(SessionRow, UserRow)
        .join(UserRow, UserRow.user_id == SessionRow.user_id)
        .where(SessionRow.token_hash == tickets.digest(token), UserRow.enabled)
    )
    with database.session() as session:
        found = session.execute(query).one_or_none()
        if found is None or not _is_alive(found[0], now, limits):
            raise AuthenticationError("nobody is logged in, or the session has ended", hint="log in again")
        row, user = found
        return Visitor(user.user_id, user.name, people.rights_of(session, user.user_id), session_id=row.session_id)


def used(database: Database, token: str, now: datetime, limits: Limits = DEFAULTS) -> None:
    """Note that somebody has used their session. One that has ended stays so."""
    alive = SessionRow.ends_at > now, SessionRow.used_at > now - limits.idle
    here = SessionRow.token_hash == tickets.digest(token), SessionRow.used_at <= now - _TOUCHED
    with database.session() as session:
        session.execute(update(SessionRow).where(*here, *alive).values(used_at=now))


def _is_alive(row: SessionRow, now: datetime, limits: Limits) -> bool:
    return now < row.ends_at and now - row.used_at < limits.idle


def end(database: Database, token: str) -> str | None:
    """Log out, and give how the session had begun; None when it has ended already, which is no error."""
    ended = delete(SessionRow).where(SessionRow.token_hash == tickets.digest(token)).returning(SessionRow.method)
    with database.session() as session:
        return session.scalars(ended).one_or_none()


def end_all(session: Session, user_id: str, *, but: str | None = None) -> None:
    """End every session of a user in the caller's transaction, but one when it is named by its id."""
    session.execute(delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.session_id != (but or "")))


def revoke(session: Session, user_id: str, session_id: str) -> None:
    """End one session of a user. Raises ConfigurationError when there is none of this id."""
    here = SessionRow.user_id == user_id, SessionRow.session_id == session_id
    if not session.scalars(delete(SessionRow).where(*here).returning(SessionRow.session_id)).all():
        raise ConfigurationError("there is no such session", hint="it may have ended already")


def of_user(
    session: Session, user_id: str, now: datetime, *, limit: int = 50, offset: int = 0, limits: Limits = DEFAULTS
) -> Sequence[LoginSession]:
    """The sessions of a user that live, newest first."""
    query = (
        select(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.ends_at > now, SessionRow.used_at > now - limits.idle)
        .order_by(SessionRow.created_at.desc(), SessionRow.session_id)
    )
    return [
        LoginSession(row.session_id, row.method, row.created_at, row.used_at, row.ends_at, row.address, row.user_agent)
        for row in session.scalars(query.limit(limit).offset(offset))
    ]
