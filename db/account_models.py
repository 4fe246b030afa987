"""The tables of people: users, groups, sessions, tokens, and what everybody did.

No secret is stored in clear. What people know or carry (passwords, tokens, recovery codes) is hashed; what the program
itself needs again (the secret of a second factor) is sealed. Names of users are stored in lower case.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models import Moment, Table

ADMINISTRATORS = "administrators"
"""The id of the protected group, which the migration makes. It has every permission, whatever is added later."""


class UserRow(Table):
    """One person. Without a password they log in through an identity. ``totp_secret`` is sealed, and ``totp_step`` the
    time step of the last code that was used: none is taken twice."""

    __tablename__ = "users"

    user_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True)
    totp_secret: Mapped[str | None] = mapped_column(Text)
    totp_active: Mapped[bool] = mapped_column(default=False)
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Moment)
    last_login_at: Mapped[datetime | None] = mapped_column(Moment)

    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("email"))


class RecoveryCodeRow(Table):
    """One unused recovery code of a second factor, hashed."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class IdentityRow(Table):
    """Somebody at an identity provider, who is this user here. ``provider`` is its issuer, whatever we call it."""

    __tablename__ = "identities"

    provider: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    linked_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (Index("ix_identities_user_id", "user_id"),)


class GroupRow(Table):
    """A group. ``name_key`` is its name without regard to case. ``limited`` to its sources, or not at all."""

    __tablename__ = "groups"

    group_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(128))
    limited: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (UniqueConstraint("name_key"),)


class GroupPermissionRow(Table):
    """One permission of a group."""

    __tablename__ = "group_permissions"

    group_id: Mapped[str] = mapped_column(ForeignKey("groups.group_id", ondelete="CASCADE"), primary_key=True)
    permission: Mapped[str] = mapped_column(String(64), primary_key=True)


class GroupSourceRow(Table):
    """One source that a limited group is limited to."""

    __tablename__ = "group_sources"

    group_id: Mapped[str] = mapped_column(ForeignKey("groups.group_id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(String(255), primary_key=True)


class MembershipRow(Table):
    """A user in a group."""

    __tablename__ = "memberships"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.group_id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("ix_memberships_group_id", "group_id"),)


class SessionRow(Table):
    """One login of a browser. ``token_hash`` is the SHA-256 of what the browser holds."""

    __tablename__ = "sessions"

    session_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    method: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime] = mapped_column(Moment)
    ends_at: Mapped[datetime] = mapped_column(Moment)
    address: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("ix_sessions_user_id_created_at", "user_id", "created_at"),
        Index("ix_sessions_ends_at", "ends_at"),
    )


class TokenRow(Table):
    """One API token. ``prefix`` is what people recognise it by; ``scopes`` are permissions, separated by blanks."""

    __tablename__ = "api_tokens"

    token_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    prefix: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime | None] = mapped_column(Moment)

    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("ix_api_tokens_user_id_created_at", "user_id", "created_at"),
    )


class InvitationRow(Table):
    """A link that makes the first administrator, once and until it expires."""

    __tablename__ = "invitations"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(Moment)


class AttemptRow(Table):
    """How often in a row somebody failed to log in. ``subject`` is a hash: people type passwords into name fields."""

    __tablename__ = "login_attempts"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (Index("ix_login_attempts_last_at", "last_at"),)


class AuditRow(Table):
    """Who did what, to what, when, from where, and with what result. Never changed; it outlives the user."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(primary_key=True)
    moment: Mapped[datetime] = mapped_column(Moment)
    who: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text)
    result: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index("ix_audit_moment", "moment"),
        Index("ix_audit_who_moment", "who", "moment"),
        Index("ix_audit_action_moment", "action", "moment"),
    )
