"""Logging in: name and password, then the second factor where there is one, then a new session.

Whatever is wrong is said in the same words and after the same work, whether the name exists or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from pydantic import SecretStr
from sqlalchemy.orm import Session

from core.errors import AuthenticationError, SecondFactorNeeded
from core.sealing import EncryptionKeys
from db import audit, people
from db.account_models import UserRow
from db.audit import Entry
from db.session import Database
from services.accounts import lockout, passwords, second_factor, sessions
from services.accounts.sessions import Client, Limits, Opened

ACTION = "login"


@dataclass(frozen=True)
class Credentials:
    """What somebody typed. ``code`` is that of the second factor, or None while they were not asked for one."""

    name: str
    password: SecretStr
    code: SecretStr | None = None


@dataclass(frozen=True)
class Entrance:
    """The way in: the database, the keys that seal second factors, and how long sessions live."""

    database: Database
    keys: EncryptionKeys
    limits: Limits = field(default_factory=Limits)

    def log_in(self, given: Credentials, client: Client, now: datetime) -> Opened:
        """Begin a session.

        Raises TooManyAttempts with the seconds to wait, SecondFactorNeeded when all that is missing is the code, and
        AuthenticationError when name, password or code is wrong.
        """
        lockout.attempt(self.database, given.name, client.address, now)
        user = self._proved(given, client, now)
        if user.totp_active and given.code is None:
            lockout.unfinished(self.database, given.name, client.address, now)
            raise SecondFactorNeeded("a code of the second factor is needed", hint="type the code that the app shows")
        opened = self._admitted(user, given, client, now)
        if opened is None:
            self._refuse(user, client, now, "the code is wrong, or was used before")
        lockout.succeeded(self.database, given.name, client.address, now)
        return opened

    def _proved(self, given: Credentials, client: Client, now: datetime) -> UserRow:
        """Whose name and password these are. The hash is computed outside of any transaction: it takes a while."""
        with self.database.session() as session:
            user = people.user_named(session, given.name)
        right = passwords.is_right(user.password_hash if user else None, given.password)
        if user is None or not right or not user.enabled:
            self._refuse(user, client, now, "name or password is wrong")
        return user

    def _admitted(self, proved: UserRow, given: Credentials, client: Client, now: datetime) -> Opened | None:
        """A session, or None for a wrong code. Whoever was disabled or got another password meanwhile stays outside."""
        anew = _rehashed(proved, given.password)
        with self.database.session() as session:
            people.alone(session)
            user = session.get(UserRow, proved.user_id)
            if user is None or not user.enabled or user.password_hash != proved.password_hash:
                return None
            if user.totp_active and not self._takes(session, user, given.code, now):
                return None
            user.password_hash, user.last_login_at = anew, now
            audit.add(session, Entry(now, user.name, ACTION, "", client.address, "done"))
            return sessions.open_session(session, user, client, now, limits=self.limits)

    def _takes(self, session: Session, user: UserRow, code: SecretStr | None, now: datetime) -> bool:
        return code is not None and second_factor.accepts(session, self.keys, user, code, now)

    def _refuse(self, user: UserRow | None, client: Client, now: datetime, reason: str) -> NoReturn:
        """A name that is nobody's is not written down: people type passwords into name fields."""
        who = user.name if user else "(unknown)"
        audit.Audit(self.database).record(Entry(now, who, ACTION, "", client.address, "refused", reason))
        raise AuthenticationError(reason, hint="try again, or ask an administrator")


def require_password(database: Database, name: str, password: SecretStr, client: Client, now: datetime) -> None:
    """Whoever is logged in proves once more that they know the password: who has only found an open browser does not.

    Raises TooManyAttempts, and AuthenticationError when it is wrong.
    """
    lockout.attempt(database, name, client.address, now)
    with database.session() as session:
        user = people.user_named(session, name)
    if not passwords.is_right(user.password_hash if user else None, password):
        raise AuthenticationError("the password is wrong", hint="try again, or ask an administrator for a new one")
    lockout.succeeded(database, name, client.address, now)


def _rehashed(user: UserRow, password: SecretStr) -> str | None:
    """The hash with today's parameters, which only who has the password can make."""
    outdated = user.password_hash is not None and passwords.is_outdated(user.password_hash)
    return passwords.rehashed(password) if outdated else user.password_hash
