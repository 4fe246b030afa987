"""The second factor: a code from an app that changes every thirty seconds (TOTP, RFC 6238), or a recovery code.

A code is taken once. Its neighbours before and after are taken too, for clocks that are a little wrong, but never one
that is not newer than the last. The secret is sealed for its user; recovery codes are random, hashed and used up.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime

import pyotp
from pydantic import SecretStr
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from core.errors import AuthenticationError, ConfigurationError
from core.sealing import EncryptionKeys
from db.account_models import RecoveryCodeRow, UserRow
from db.session import Database
from services.accounts import tickets

STEP = 30  # seconds
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what is mistaken for something else
_RECOVERY_CODES = 10
_ISSUER = "dbackup"


@dataclass(frozen=True)
class Enrolment:
    """What an app needs, shown once: the secret, and the address that a QR code holds."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


def begin(database: Database, keys: EncryptionKeys, user_id: str) -> Enrolment:
    """Make a secret, which counts only when a code was given for it. Raises ConfigurationError when one counts."""
    secret = pyotp.random_base32()
    with database.session() as session:
        user = session.get_one(UserRow, user_id)
        if user.totp_active:
            raise ConfigurationError("there is a second factor already", hint="remove it first")
        user.totp_secret, user.totp_step = keys.seal(secret, _place(user_id)), None
        return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user.name, issuer_name=_ISSUER))


def confirm(database: Database, keys: EncryptionKeys, user_id: str, code: SecretStr, now: datetime) -> tuple[str, ...]:
    """Make the secret count, and give the recovery codes, which are shown once. Raises AuthenticationError."""
    codes = tuple(_recovery_code() for _ in range(_RECOVERY_CODES))
    with database.session() as session:
        user = session.get_one(UserRow, user_id)
        if user.totp_active or not user.totp_secret:
            raise ConfigurationError("no second factor waits for its first code", hint="begin anew")
        if not _takes_code(session, keys, user, code.get_secret_value(), now):
            raise AuthenticationError("the code is wrong", hint="is the clock of the phone right?")
        user.totp_active = True
        session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        session.add_all(RecoveryCodeRow(user_id=user_id, code_hash=_kept(one)) for one in codes)
    return codes


def remove(session: Session, user_id: str) -> None:
    """Take the second factor and its recovery codes away, in the caller's transaction."""
    session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
    nothing = {"totp_secret": None, "totp_active": False, "totp_step": None}
    session.execute(update(UserRow).where(UserRow.user_id == user_id).values(nothing))


def accepts(session: Session, keys: EncryptionKeys, user: UserRow, code: SecretStr, now: datetime) -> bool:
    """Use a code up: one of the app, or a recovery code. False for one that is wrong, old, or was used."""
    text = code.get_secret_value()
    return _takes_code(session, keys, user, text, now) or _takes_recovery_code(session, user, text)


def _takes_code(session: Session, keys: EncryptionKeys, user: UserRow, code: str, now: datetime) -> bool:
    """One statement uses the code up, so that of two at once only one is let in."""
    step = _step_of(keys.unseal(user.totp_secret or "", _place(user.user_id)), code, now)
    if step is None:
        return False
    unused = or_(UserRow.totp_step.is_(None), UserRow.totp_step < step)
    used = update(UserRow).where(UserRow.user_id == user.user_id, unused).values(totp_step=step)
    return bool(session.scalars(used.returning(UserRow.user_id)).all())


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    code = code.replace(" ", "")
    current = int(now.timestamp()) // STEP
    generator = pyotp.TOTP(secret, interval=STEP)
    matching = [
        step for step in (current - 1, current, current + 1)
        if pyotp.utils.strings_equal(code, generator.generate_otp(step))
    ]  # fmt: skip
    return max(matching, default=None)


def _takes_recovery_code(session: Session, user: UserRow, code: str) -> bool:
    here = RecoveryCodeRow.user_id == user.user_id, RecoveryCodeRow.code_hash == _kept(code)
    return bool(session.scalars(delete(RecoveryCodeRow).where(*here).returning(RecoveryCodeRow.user_id)).all())


def _recovery_code() -> str:
    """Sixteen letters in groups of four: 79 random bits, too many to guess even from the hash."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))


def _kept(code: str) -> str:
    return tickets.digest(code.strip().lower().replace("-", "").replace(" ", ""))


def reseal(database: Database, keys: EncryptionKeys) -> int:
    """Seal every secret under the current key; gives how many were not. Raises WrongKey, and changes nothing then."""
    with database.session() as session:
        users = session.scalars(select(UserRow).where(UserRow.totp_secret.is_not(None))).all()
        stale = [user for user in users if user.totp_secret and not keys.is_current(user.totp_secret)]
        for user in stale:
            place = _place(user.user_id)
            user.totp_secret = keys.seal(keys.unseal(user.totp_secret or "", place), place)
        return len(stale)


def _place(user_id: str) -> str:
    return f"user/{user_id}/second-factor"
