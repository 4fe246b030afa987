"""One's own account: password, second factor, sessions. Only for a person who is logged in, never for a token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import SecretStr

from actions.door import Identity, action
from blocks.encryption_key import encryption_keys
from core.errors import PermissionError
from core.permissions import Permission
from services.accounts import login, second_factor, users
from services.accounts.second_factor import Enrolment
from services.accounts.sessions import Client, LoginSession
from services.accounts.users import User
from services.records import database


@action(Permission.ACCOUNT_OWN, looks=True)
def own(who: Identity) -> User:
    """One's own account as it stands."""
    _person(who)
    return users.get(database(), who.name)


@action(Permission.ACCOUNT_OWN)
def change_password(who: Identity, old: SecretStr, new: SecretStr) -> None:
    """Change one's password. Raises AuthenticationError for a wrong old one. All other sessions end."""
    user_id = _person(who)
    login.require_password(database(), who.name, old, Client(who.origin), datetime.now(UTC))
    users.change_own_password(database(), user_id, new, session_id=who.session_id)


@action(Permission.ACCOUNT_OWN)
def begin_second_factor(who: Identity) -> Enrolment:
    """Make a secret for an app, which counts when a code was given for it."""
    return second_factor.begin(database(), encryption_keys(), _person(who))


@action(Permission.ACCOUNT_OWN)
def confirm_second_factor(who: Identity, code: SecretStr) -> tuple[str, ...]:
    """Make the secret count; gives recovery codes, which are shown once. Raises AuthenticationError."""
    return second_factor.confirm(database(), encryption_keys(), _person(who), code, datetime.now(UTC))


@action(Permission.ACCOUNT_OWN)
def remove_second_factor(who: Identity, password: SecretStr) -> None:
    """Take one's second factor away, which takes the password. Raises AuthenticationError for a wrong one."""
    user_id = _person(who)
    login.require_password(database(), who.name, password, Client(who.origin), datetime.now(UTC))
    with database().session() as session:
        second_factor.remove(session, user_id)


@action(Permission.ACCOUNT_OWN, looks=True)
def sessions(who: Identity) -> Sequence[LoginSession]:
    """One's own living sessions."""
    _person(who)
    return users.sessions_of(database(), who.name, datetime.now(UTC))


@action(Permission.ACCOUNT_OWN)
def end_session(who: Identity, session_id: str) -> None:
    """End one of one's own sessions."""
    _person(who)
    users.end_sessions(database(), who.rights, who.name, session_id)


def _person(who: Identity) -> str:
    if who.user_id is None or who.session_id is None:
        raise PermissionError("this is for people who are logged in", hint="log in to the dashboard")
    return who.user_id
