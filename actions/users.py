"""Users: who may log in. Nobody manages somebody who may do more than they do themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from actions.door import Identity, action
from core.permissions import Permission
from services.accounts import invitation, users
from services.accounts.sessions import LoginSession
from services.accounts.users import NewUser, User
from services.records import database


@action(Permission.USERS_WRITE, target=lambda new: new.name)
def create(who: Identity, new: NewUser) -> User:
    """Make a user. Raises ConfigurationError for what cannot be, PermissionError for groups that permit too much."""
    return users.create(database(), who.rights, new)


@action(Permission.USERS_WRITE)
def invite_administrator(who: Identity) -> str:
    """A token that makes the first administrator, once and for an hour. Raises ConfigurationError when there is one."""
    return invitation.invite(database(), datetime.now(UTC))


@action(Permission.USERS_READ)
def page(who: Identity, *, limit: int = 50, offset: int = 0, search: str = "") -> Sequence[User]:
    """Users by name; those whose name or address contains ``search``."""
    return users.page(database(), limit=limit, offset=offset, search=search)


@action(Permission.USERS_READ)
def count(who: Identity, *, search: str = "") -> int:
    """How many users there are whose name or address contains ``search``."""
    return users.count(database(), search=search)


@action(Permission.USERS_READ)
def get(who: Identity, name: str) -> User:
    """One user. Raises ConfigurationError when there is none of this name."""
    return users.get(database(), name)


@action(Permission.USERS_WRITE)
def set_enabled(who: Identity, name: str, *, enabled: bool) -> None:
    """Let a user in, or no longer; then their sessions end. Raises ConfigurationError for the last administrator."""
    users.set_enabled(database(), who.rights, name, enabled=enabled)


@action(Permission.USERS_WRITE)
def set_password(who: Identity, name: str, password: SecretStr) -> None:
    """Give a user another password. All of their sessions end."""
    users.set_password(database(), who.rights, name, password)


@action(Permission.USERS_WRITE)
def reset_second_factor(who: Identity, name: str) -> None:
    """Take the second factor of a user away, who has lost it. Their sessions end."""
    users.reset_second_factor(database(), who.rights, name)


@action(Permission.USERS_WRITE)
def delete(who: Identity, name: str) -> None:
    """Forget a user, their sessions and tokens. The audit keeps what they did."""
    users.delete(database(), who.rights, name)


@action(Permission.USERS_READ)
def sessions(who: Identity, name: str) -> Sequence[LoginSession]:
    """The living sessions of a user."""
    return users.sessions_of(database(), name, datetime.now(UTC))


@action(Permission.USERS_WRITE)
def end_sessions(who: Identity, name: str, session_id: str | None = None) -> None:
    """End one session of a user, or all."""
    users.end_sessions(database(), who.rights, name, session_id)
