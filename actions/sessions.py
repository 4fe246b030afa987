"""The way in and out, for whoever is not known yet: the only functions here without an :class:`Identity`.

They write into the audit themselves, and give identities, which every other action asks for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from pydantic import SecretStr

from actions.door import Identity
from blocks.encryption_key import encryption_keys
from core.errors import AuthenticationError
from db.audit import Entry
from services.accounts import invitation, lockout, sessions, tokens
from services.accounts.login import Credentials, Entrance
from services.accounts.sessions import Client, Opened, Visitor
from services.accounts.users import User
from services.records import audit, database


def log_in(name: str, password: SecretStr, client: Client, code: SecretStr | None = None) -> Opened:
    """Begin a session; its token is for the browser alone.

    Raises TooManyAttempts with the seconds to wait, SecondFactorNeeded when all that is missing is the code, and
    AuthenticationError, in the same words, for everything else that is wrong.
    """
    entrance = Entrance(database(), encryption_keys())
    return entrance.log_in(Credentials(name, password, code), client, datetime.now(UTC))


def identify(token: str, address: str) -> Identity:
    """Who has this session, with what they may do at this moment. Raises AuthenticationError when it has ended.

    It may be asked at any time and does not count as use.
    """
    return _identity(sessions.visitor(database(), token, datetime.now(UTC)), address)


def used(token: str) -> None:
    """Note that a person, not a page by itself, has used this session: what is not used for a while ends."""
    if token:
        sessions.used(database(), token, datetime.now(UTC))


def identify_token(secret: str, address: str) -> Identity:
    """Who has this API token, and what it may do at this moment.

    Raises AuthenticationError for a wrong one, TooManyAttempts when too many of those came from the address.
    """
    now = datetime.now(UTC)
    try:
        return _identity(tokens.visitor(database(), secret, now), address)
    except AuthenticationError as error:
        lockout.wrong_token(database(), address, now)
        audit().record(Entry(now, "(unknown)", "token", "", address, "refused", error.message))
        raise


def log_out(token: str) -> None:
    """End a session. One that has ended already is no error."""
    sessions.end(database(), token)


def needs_administrator() -> bool:
    """Whether there is nobody yet who may log in as an administrator."""
    return invitation.is_needed(database())


def accept_invitation(token: str, name: str, password: SecretStr, client: Client) -> User:
    """Make the first administrator. Raises AuthenticationError when the link opens nothing (any longer)."""
    now = datetime.now(UTC)
    record = partial(Entry, now, "(invited)", "accept_invitation", origin=client.address)
    try:
        made = invitation.accept(database(), token, name, password, now)
    except AuthenticationError as error:
        audit().record(record(target="", result="refused", reason=error.message))
        raise
    audit().record(record(target=made.name, result="done"))
    return made


def _identity(visitor: Visitor, address: str) -> Identity:
    return Identity(
        visitor.name,
        visitor.rights.permissions,
        visitor.rights.limits,
        visitor.rights.administrator,
        origin=address,
        user_id=visitor.user_id,
        session_id=visitor.session_id,
        token_id=visitor.token_id,
    )
