"""Users: made, shown, disabled, deleted. Each change is one transaction that nobody else's comes between.

``who`` is the rights of the one who asks; ``core.rights.EVERYTHING`` for the local administrator.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConfigurationError
from core.rights import Rights
from db import people
from db.account_models import ADMINISTRATORS, GroupRow, UserRow
from db.session import Database
from services.accounts import passwords, rules, second_factor, sessions
from services.accounts.sessions import LoginSession

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True)
class User:
    """One user as others see them."""

    user_id: str
    name: str
    email: str | None
    enabled: bool
    has_password: bool
    second_factor: bool
    created_at: datetime
    last_login_at: datetime | None
    groups: tuple[str, ...]


@dataclass(frozen=True)
class NewUser:
    """Who is to be made. Without a password they log in through an identity provider."""

    name: str
    password: SecretStr | None = None
    email: str | None = None
    groups: tuple[str, ...] = ()


def create(database: Database, who: Rights, new: NewUser) -> User:
    """Make a user. Raises ConfigurationError for a name, address or password that cannot be."""
    row = prepared(new)
    with changing(database) as session:
        return added(session, who, row, new.groups)


def prepared(new: NewUser) -> UserRow:
    """The row of a new user, before its transaction: hashing takes a while. Raises ConfigurationError."""
    return UserRow(
        user_id=str(uuid.uuid4()),
        name=_valid_name(new.name),
        email=_valid_email(new.email),
        password_hash=passwords.hashed(new.password) if new.password else None,
        enabled=True,
        totp_active=False,
        created_at=datetime.now(UTC),
    )


def added(session: Session, who: Rights, row: UserRow, groups: Iterable[str]) -> User:
    """Add a new user, in these groups, in a transaction of :func:`changing`."""
    _require_free(session, row)
    session.add(row)
    session.flush()
    for name in groups:
        add_to_group(session, who, row, group_called(session, name))
    return _user(session, row)


def get(database: Database, name: str) -> User:
    """One user. Raises ConfigurationError when there is none of this name."""
    with database.session() as session:
        return _user(session, user_called(session, name))


def page(database: Database, *, limit: int = 50, offset: int = 0, search: str = "") -> Sequence[User]:
    """Users by name."""
    with database.session() as session:
        rows = people.users(session, limit=limit, offset=offset, search=search)
        groups = people.groups_of(session, [row.user_id for row in rows])
        return [_described(row, groups.get(row.user_id, ())) for row in rows]


def count(database: Database, *, search: str = "") -> int:
    """How many users there are whose name or address contains ``search``."""
    with database.session() as session:
        return people.count_users(session, search=search)


def set_enabled(database: Database, who: Rights, name: str, *, enabled: bool) -> None:
    """Let a user in, or no longer; then their sessions end. Raises ConfigurationError for the last administrator."""
    with changing(database) as session:
        user = _user_below(session, who, name)
        user.enabled = enabled
        session.flush()
        if not enabled:
            sessions.end_all(session, user.user_id)
            _require_administrator_left(session, user)


def delete(database: Database, who: Rights, name: str) -> None:
    """Forget a user, their sessions and tokens. The audit keeps what they did."""
    with changing(database) as session:
        user = _user_below(session, who, name)
        was_administrator = _is_administrator(session, user)
        session.delete(user)
        session.flush()
        if was_administrator:
            rules.require_administrator_left(session)


def set_password(database: Database, who: Rights, name: str, password: SecretStr) -> None:
    """Give a user another password. All of their sessions end."""
    hashed = passwords.hashed(password)
    with changing(database) as session:
        user = _user_below(session, who, name)
        user.password_hash = hashed
        sessions.end_all(session, user.user_id)


def change_own_password(database: Database, user_id: str, new: SecretStr, *, session_id: str | None) -> None:
    """Change the password of whoever has proved to know the old one. Their sessions end but the one that asks."""
    hashed = passwords.hashed(new)
    with changing(database) as session:
        session.get_one(UserRow, user_id).password_hash = hashed
        sessions.end_all(session, user_id, but=session_id)


def reset_second_factor(database: Database, who: Rights, name: str) -> None:
    """Take the second factor of a user away, who has lost it. Their sessions end."""
    with changing(database) as session:
        user = _user_below(session, who, name)
        second_factor.remove(session, user.user_id)
        sessions.end_all(session, user.user_id)


def sessions_of(database: Database, name: str, now: datetime) -> Sequence[LoginSession]:
    """The living sessions of a user."""
    with database.session() as session:
        return sessions.of_user(session, user_called(session, name).user_id, now)


def end_sessions(database: Database, who: Rights, name: str, session_id: str | None = None) -> None:
    """End one session of a user, or all."""
    with changing(database) as session:
        user = _user_below(session, who, name)
        if session_id is None:
            sessions.end_all(session, user.user_id)
        else:
            sessions.revoke(session, user.user_id, session_id)


@contextmanager
def changing(database: Database) -> Iterator[Session]:
    """A transaction in which nobody else changes people."""
    with database.session() as session:
        people.alone(session)
        yield session


def user_called(session: Session, name: str) -> UserRow:
    """The user of this name. Raises ConfigurationError when there is none."""
    if user := people.user_named(session, name):
        return user
    raise ConfigurationError(f"there is no user {name}", hint="see who there is: dbackup user list")


def group_called(session: Session, name: str) -> GroupRow:
    """The group of this name. Raises ConfigurationError when there is none."""
    if group := people.group_named(session, name):
        return group
    raise ConfigurationError(f"there is no group {name}", hint="see what there is: dbackup group list")


def add_to_group(session: Session, who: Rights, user: UserRow, group: GroupRow) -> None:
    """Make a user a member. Raises PermissionError when the group permits more than ``who`` has."""
    given = Rights.of(people.grants(session, [group.group_id]).values())
    rules.require_giving(who, given, group.name)
    people.join(session, user.user_id, group.group_id)


def _user_below(session: Session, who: Rights, name: str) -> UserRow:
    user = user_called(session, name)
    rules.require_above(who, user, session)
    return user


def _require_administrator_left(session: Session, user: UserRow) -> None:
    if _is_administrator(session, user):
        rules.require_administrator_left(session)


def _is_administrator(session: Session, user: UserRow) -> bool:
    """Whether they belong to the protected group. Where nobody does yet, ordinary users can still be changed."""
    groups = people.groups_of(session, [user.user_id]).get(user.user_id, [])
    return any(group.group_id == ADMINISTRATORS for group in groups)


def _require_free(session: Session, row: UserRow) -> None:
    if people.user_named(session, row.name):
        raise ConfigurationError(f"there is a user {row.name} already", hint="choose another name")
    if row.email and session.scalars(select(UserRow.user_id).where(UserRow.email == row.email)).first():
        raise ConfigurationError(f"{row.email} belongs to another user", hint="an address belongs to one user")


def _valid_name(name: str) -> str:
    wanted = name.strip().lower()
    if not _NAME.fullmatch(wanted):
        raise ConfigurationError(
            "this cannot be the name of a user",
            hint="use letters, digits and . _ @ + -, 64 at most, beginning with a letter or digit",
        )
    return wanted


def _valid_email(email: str | None) -> str | None:
    if not email:
        return None
    if not _EMAIL.fullmatch(email):
        raise ConfigurationError(f"{email} is not an e-mail address", hint="write name@host")
    return email.lower()


def _user(session: Session, row: UserRow) -> User:
    return _described(row, people.groups_of(session, [row.user_id]).get(row.user_id, ()))


def _described(row: UserRow, groups: Iterable[GroupRow]) -> User:
    return User(
        user_id=row.user_id,
        name=row.name,
        email=row.email,
        enabled=row.enabled,
        has_password=row.password_hash is not None,
        second_factor=row.totp_active,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        groups=tuple(group.name for group in groups),
    )
