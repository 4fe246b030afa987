"""API tokens: for scripts, each with scopes and an end. They can never do more than their owner can at that moment."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.errors import AuthenticationError, ConfigurationError, PermissionError
from core.permissions import Permission
from core.rights import Rights
from db import people
from db.account_models import TokenRow, UserRow
from db.session import Database
from services.accounts import rules, tickets
from services.accounts.sessions import Visitor
from services.accounts.users import user_called

PREFIX = "dbk_"  # so that scanners for leaked secrets can know one
LONGEST = timedelta(days=366)
_SHOWN = len(PREFIX) + 6
_TOUCHED = timedelta(minutes=1)


@dataclass(frozen=True)
class Token:
    """One token as people see it."""

    token_id: str
    name: str
    owner: str
    prefix: str
    scopes: frozenset[Permission]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class Wish:
    """A token to be made: what it is for, what it may do, and for how long."""

    name: str
    scopes: frozenset[Permission]
    lifetime: timedelta = timedelta(days=90)


@dataclass(frozen=True)
class Issued:
    """A new token. ``secret`` is shown once."""

    token: Token
    secret: str = field(repr=False)


def create(database: Database, who: Rights, owner: str, wish: Wish, now: datetime) -> Issued:
    """Make a token. Raises PermissionError for scopes that ``who`` or the owner does not have."""
    _require_sensible(wish)
    secret = tickets.new(PREFIX)
    with database.session() as session:
        user = user_called(session, owner)
        _require_had(who, people.rights_of(session, user.user_id), wish.scopes)
        row = TokenRow(
            token_id=str(uuid.uuid4()),
            token_hash=tickets.digest(secret),
            user_id=user.user_id,
            name=wish.name.strip(),
            prefix=secret[:_SHOWN],
            scopes=" ".join(sorted(wish.scopes)),
            created_at=now,
            expires_at=now + wish.lifetime,
        )
        session.add(row)
        return Issued(_token(row, user.name), secret)


def visitor(database: Database, secret: str, now: datetime) -> Visitor:
    """Whose token this is, and what it may do now. Raises AuthenticationError when it is none, or has expired."""
    query = (
        select(TokenRow, UserRow)
        .join(UserRow, UserRow.user_id == TokenRow.user_id)
        .where(TokenRow.token_hash == tickets.digest(secret), UserRow.enabled, TokenRow.expires_at > now)
    )
    with database.session() as session:
        found = session.execute(query).one_or_none()
        if found is None:
            raise AuthenticationError("the token is unknown, or has expired", hint="make one: dbackup token create")
        row, user = found
        if row.used_at is None or now - row.used_at >= _TOUCHED:
            row.used_at = now
        rights = people.rights_of(session, user.user_id).only(_scopes(row))
        return Visitor(user.user_id, user.name, rights, token_id=row.token_id)


def page(database: Database, *, owner: str | None = None, limit: int = 50, offset: int = 0) -> Sequence[Token]:
    """Tokens of one user or of all, newest first. Those that have expired are among them."""
    query = select(TokenRow, UserRow.name).join(UserRow, UserRow.user_id == TokenRow.user_id)
    with database.session() as session:
        if owner is not None:
            query = query.where(TokenRow.user_id == user_called(session, owner).user_id)
        ordered = query.order_by(TokenRow.created_at.desc(), TokenRow.token_id).limit(limit).offset(offset)
        return [_token(row, name) for row, name in session.execute(ordered)]


def count(database: Database, *, owner: str | None = None) -> int:
    """How many tokens one user has, or all."""
    query = select(func.count()).select_from(TokenRow)
    with database.session() as session:
        if owner is not None:
            query = query.where(TokenRow.user_id == user_called(session, owner).user_id)
        return session.scalar(query) or 0


def find(session: Session, reference: str, owner: str | None) -> tuple[TokenRow, UserRow]:
    """A token by its id or prefix. Raises ConfigurationError when there is none, or more than one."""
    query = select(TokenRow, UserRow).join(UserRow, UserRow.user_id == TokenRow.user_id)
    query = query.where((TokenRow.token_id == reference) | (TokenRow.prefix == reference))
    found = [(row, user) for row, user in session.execute(query) if owner in (None, user.name)]
    if len(found) == 1:
        return found[0]
    raise ConfigurationError(
        f"{len(found) or 'no'} token{'s' if found else ''} of this name", hint="give its id: dbackup token list --json"
    )


def revoke(database: Database, who: Rights, reference: str, *, owner: str | None = None) -> Token:
    """End a token: one's own, or that of anybody who may do no more. Raises ConfigurationError when there is none."""
    with database.session() as session:
        row, user = find(session, reference, owner)
        if owner is None:
            rules.require_above(who, user, session)
        session.execute(delete(TokenRow).where(TokenRow.token_id == row.token_id))
        return _token(row, user.name)


def _require_sensible(wish: Wish) -> None:
    if not wish.name.strip() or len(wish.name) > 64:
        raise ConfigurationError("a token needs a name of up to 64 characters", hint="say what it is for")
    if not wish.scopes:
        raise ConfigurationError("a token without a scope may do nothing", hint="give it at least one permission")
    if not timedelta() < wish.lifetime <= LONGEST:
        raise ConfigurationError(f"a token lives for 1 to {LONGEST.days} days", hint="make a new one when it ends")


def _require_had(who: Rights, owner: Rights, scopes: frozenset[Permission]) -> None:
    if missing := scopes - (owner.permissions & who.permissions):
        raise PermissionError(
            f"a token cannot have what its owner has not: {', '.join(sorted(missing))}",
            hint="ask an administrator for these permissions, or leave them out",
        )
    if not who.covers(owner.only(scopes)):
        raise PermissionError("the owner may do this for more sources than you", hint="let them make it themselves")


def _scopes(row: TokenRow) -> frozenset[Permission]:
    known = {one.value for one in Permission}
    return frozenset(Permission(one) for one in row.scopes.split() if one in known)


def _token(row: TokenRow, owner: str) -> Token:
    return Token(row.token_id, row.name, owner, row.prefix, _scopes(row), row.created_at, row.expires_at, row.used_at)
