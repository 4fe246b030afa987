"""The first administrator: a link that works once, for a while, and only as long as nobody can log in as one."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import delete

from core.errors import AuthenticationError, ConfigurationError
from core.rights import EVERYTHING
from db import people
from db.account_models import ADMINISTRATORS, InvitationRow
from db.session import Database
from services.accounts import tickets, users
from services.accounts.users import NewUser, User

LIFETIME = timedelta(hours=1)


def is_needed(database: Database) -> bool:
    """Whether there is nobody who may log in as an administrator."""
    with database.session() as session:
        return not people.enabled_administrators(session)


def invite(database: Database, now: datetime) -> str:
    """A new token; older ones open nothing any longer. Raises ConfigurationError when there is an administrator."""
    token = tickets.new()
    with users.changing(database) as session:
        if people.enabled_administrators(session):
            raise ConfigurationError(
                "there is an administrator already", hint="log in as one, or: dbackup user password NAME"
            )
        session.execute(delete(InvitationRow))
        session.add(InvitationRow(token_hash=tickets.digest(token), expires_at=now + LIFETIME))
    return token


def accept(database: Database, token: str, name: str, password: SecretStr, now: datetime) -> User:
    """Make the first administrator. Raises AuthenticationError for a token that opens nothing (any longer)."""
    new = users.prepared(NewUser(name, password))
    with users.changing(database) as session:
        here = InvitationRow.token_hash == tickets.digest(token), InvitationRow.expires_at > now
        used = session.scalars(delete(InvitationRow).where(*here).returning(InvitationRow.token_hash)).all()
        if not used or people.enabled_administrators(session):
            raise AuthenticationError(
                "this link was used, has expired, or there is an administrator already",
                hint="make one on the machine itself: dbackup user create NAME --group Administrators",
            )
        return users.added(session, EVERYTHING, new, (ADMINISTRATORS,))
