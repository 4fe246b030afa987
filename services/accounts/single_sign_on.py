"""Logging in through an identity provider: whose account it is, once the provider has said who somebody is.

People are known by issuer and subject, never by a name or an address that they could choose. The first time somebody
comes they are linked to the user with their e-mail address, but only if the provider has verified it, and not if that
user has a second factor here, which the link would go around. Otherwise, if it is wanted, a new user is made, who is in
no group but the default one. The protected group is never given by a provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import AuthenticationError, ConfigurationError
from core.identity import Claims
from core.rights import EVERYTHING
from db import audit, people
from db.account_models import ADMINISTRATORS, GroupRow, IdentityRow, UserRow
from db.audit import Audit, Entry
from db.session import Database
from services.accounts import sessions, users
from services.accounts.sessions import Client, Opened
from services.accounts.users import NewUser

ACTION = "single_sign_on"
UNKNOWN = "(unknown)"
_NO_NAME = re.compile(r"[^a-z0-9._@+-]+|^[^a-z0-9]+")


METHOD = "sso:"  # how a session of this kind began; the provider's name follows


@dataclass(frozen=True)
class Policy:
    """What is made of what a provider says, and what we call it. ``groups`` says which of our groups a value of the
    claim stands for; membership in these groups follows the provider, in both directions. Others are left alone."""

    provider: str
    provision: bool = False
    default_group: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)


def log_in(database: Database, claims: Claims, policy: Policy, client: Client, now: datetime) -> Opened:
    """Begin a session. Raises AuthenticationError for somebody who is nobody here, or is disabled."""
    with users.changing(database) as session:
        user = _known(session, claims) or _linked(session, claims, now) or _made(session, claims, policy, now)
        if user is not None and user.enabled:
            _follow(session, user, claims, policy)
            user.last_login_at = now
            audit.add(session, Entry(now, user.name, ACTION, policy.provider, client.address, "done"))
            return sessions.open_session(session, user, client, now, method=METHOD + policy.provider)
    reason = f"{policy.provider} vouches for somebody who may not log in here"
    refused(database, policy.provider, client, now, reason, who=user.name if user else UNKNOWN)
    raise AuthenticationError(reason, hint="ask an administrator")


def refused(
    database: Database, provider: str, client: Client, now: datetime, reason: str, *, who: str = UNKNOWN
) -> None:
    """Write down that somebody was not let in."""
    Audit(database).record(Entry(now, who, ACTION, provider, client.address, "refused", reason))


def require_groups(database: Database, names: Iterable[str]) -> None:
    """Raises ConfigurationError unless there are these groups, and none makes administrators."""
    with database.session() as session:
        for name in sorted(set(names)):
            _ordinary(session, name)


def _known(session: Session, claims: Claims) -> UserRow | None:
    identity = session.get(IdentityRow, (claims.issuer, claims.subject))
    return session.get(UserRow, identity.user_id) if identity else None


def _linked(session: Session, claims: Claims, now: datetime) -> UserRow | None:
    if not (claims.email and claims.email_verified):
        return None
    user = session.scalars(select(UserRow).where(UserRow.email == claims.email.lower())).one_or_none()
    if user is None or user.totp_active:
        return None
    return _link(session, user, claims, now)


def _made(session: Session, claims: Claims, policy: Policy, now: datetime) -> UserRow | None:
    if not policy.provision:
        return None
    email = claims.email if claims.email_verified and not _is_taken(session, claims.email) else None
    row = users.prepared(NewUser(_free_name(session, claims), email=email))
    default = policy.default_group
    groups = [_ordinary(session, default).name] if default else []
    users.added(session, EVERYTHING, row, groups)
    return _link(session, row, claims, now)


def _link(session: Session, user: UserRow, claims: Claims, now: datetime) -> UserRow:
    session.add(IdentityRow(provider=claims.issuer, subject=claims.subject, user_id=user.user_id, linked_at=now))
    session.flush()
    return user


def _is_taken(session: Session, email: str | None) -> bool:
    wanted = select(UserRow.user_id).where(UserRow.email == (email or "").lower())
    return session.scalars(wanted).first() is not None


def _free_name(session: Session, claims: Claims) -> str:
    """A name like the one they have there. It is only a name: one that is taken here is somebody else's."""
    wanted = _NO_NAME.sub("", claims.name.lower())[:56] or "user"
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    return next(name for name in names if not people.user_named(session, name))


def _follow(session: Session, user: UserRow, claims: Claims, policy: Policy) -> None:
    for name in sorted(set(policy.groups.values())):
        group = _ordinary(session, name)
        if any(policy.groups.get(value) == name for value in claims.groups):
            people.join(session, user.user_id, group.group_id)
        else:
            people.leave(session, user.user_id, group.group_id)


def _ordinary(session: Session, name: str) -> GroupRow:
    group = users.group_called(session, name)
    if group.group_id == ADMINISTRATORS:
        raise ConfigurationError(
            "an identity provider cannot make administrators", hint="map the claim to another group"
        )
    return group
