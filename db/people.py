"""Users and groups in a transaction of the caller, so that a rule is checked and kept in one.

Whoever changes people calls :func:`alone` first: it locks the row of the administrators' group until the transaction
ends, in SQLite and in PostgreSQL, so that two changes at once are one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from core.permissions import Permission
from core.rights import Grant, Rights
from db.account_models import (
    ADMINISTRATORS,
    GroupPermissionRow,
    GroupRow,
    GroupSourceRow,
    MembershipRow,
    UserRow,
)


def alone(session: Session) -> None:
    """Wait for every other change of people to end. It has to be the first statement of its transaction."""
    session.execute(update(GroupRow).where(GroupRow.group_id == ADMINISTRATORS).values(limited=False))


def user_named(session: Session, name: str) -> UserRow | None:
    """The user of this name, or None. Case does not matter. What cannot be a name is not even looked for."""
    if not (name.isascii() and name.isprintable()):
        return None
    return session.scalars(select(UserRow).where(UserRow.name == name.strip().lower())).one_or_none()


def users(session: Session, *, limit: int | None = None, offset: int = 0, search: str = "") -> Sequence[UserRow]:
    """Users by name; those whose name or address contains ``search``."""
    query = select(UserRow).where(*_containing(search)).order_by(UserRow.name)
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_users(session: Session, *, search: str = "") -> int:
    """How many users there are whose name or address contains ``search``."""
    return session.scalar(select(func.count()).select_from(UserRow).where(*_containing(search))) or 0


def _containing(search: str) -> list[ColumnElement[bool]]:
    text = search.lower()
    fits = UserRow.name.contains(text, autoescape=True) | UserRow.email.contains(text, autoescape=True)
    return [fits] if text else []


def group_named(session: Session, name: str) -> GroupRow | None:
    """The group of this name, or None. Case does not matter."""
    return session.scalars(select(GroupRow).where(GroupRow.name_key == group_key(name))).one_or_none()


def group_key(name: str) -> str:
    """What names of groups are compared by."""
    return name.strip().casefold()


def groups(session: Session, *, limit: int | None = None, offset: int = 0) -> Sequence[GroupRow]:
    """Groups by name."""
    return session.scalars(select(GroupRow).order_by(GroupRow.name_key).limit(limit).offset(offset)).all()


def count_groups(session: Session) -> int:
    """How many groups there are."""
    return session.scalar(select(func.count()).select_from(GroupRow)) or 0


def groups_of(session: Session, user_ids: Iterable[str]) -> dict[str, list[GroupRow]]:
    """The groups of several users, in one query."""
    query = (
        select(MembershipRow.user_id, GroupRow)
        .join(GroupRow, GroupRow.group_id == MembershipRow.group_id)
        .where(MembershipRow.user_id.in_(list(user_ids)))
        .order_by(GroupRow.name_key)
    )
    found: dict[str, list[GroupRow]] = {}
    for user_id, group in session.execute(query):
        found.setdefault(user_id, []).append(group)
    return found


def grants(session: Session, group_ids: Iterable[str]) -> dict[str, Grant]:
    """What groups give, by their ids. A permission that this version does not know is nothing."""
    wanted = list(group_ids)
    permissions = _collected(session, GroupPermissionRow.group_id, GroupPermissionRow.permission, wanted)
    sources = _collected(session, GroupSourceRow.group_id, GroupSourceRow.source, wanted)
    rows = session.scalars(select(GroupRow).where(GroupRow.group_id.in_(wanted)))
    known = set(Permission)
    return {
        row.group_id: Grant(frozenset(Permission), administrator=True)
        if row.group_id == ADMINISTRATORS
        else Grant(
            frozenset(Permission(one) for one in permissions.get(row.group_id, set()) & known),
            frozenset(sources.get(row.group_id, ())) if row.limited else None,
        )
        for row in rows
    }


def _collected(session: Session, key: object, value: object, wanted: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group_id, one in session.execute(select(key, value).where(key.in_(wanted))):  # type: ignore[call-overload,attr-defined]
        found.setdefault(group_id, set()).add(one)
    return found


def rights_of(session: Session, user_id: str) -> Rights:
    """What a user may do, from all of their groups."""
    ids = session.scalars(select(MembershipRow.group_id).where(MembershipRow.user_id == user_id)).all()
    return Rights.of(grants(session, ids).values())


def members(session: Session, group_id: str) -> Sequence[UserRow]:
    """The users in a group, by name."""
    query = select(UserRow).join(MembershipRow, MembershipRow.user_id == UserRow.user_id).order_by(UserRow.name)
    return session.scalars(query.where(MembershipRow.group_id == group_id)).all()


def enabled_administrators(session: Session) -> int:
    """How many administrators may log in."""
    query = select(func.count()).select_from(MembershipRow).join(UserRow, UserRow.user_id == MembershipRow.user_id)
    return session.scalar(query.where(MembershipRow.group_id == ADMINISTRATORS, UserRow.enabled)) or 0


def join(session: Session, user_id: str, group_id: str) -> None:
    """Make a user a member, who may be one already."""
    session.merge(MembershipRow(user_id=user_id, group_id=group_id))


def leave(session: Session, user_id: str, group_id: str) -> bool:
    """Make a user no member any longer; false for somebody who was none."""
    here = MembershipRow.user_id == user_id, MembershipRow.group_id == group_id
    return bool(session.scalars(delete(MembershipRow).where(*here).returning(MembershipRow.user_id)).all())


def set_grant(session: Session, group_id: str, grant: Grant) -> None:
    """Give a group these permissions and sources in place of what it had."""
    session.execute(delete(GroupPermissionRow).where(GroupPermissionRow.group_id == group_id))
    session.execute(delete(GroupSourceRow).where(GroupSourceRow.group_id == group_id))
    session.add_all(GroupPermissionRow(group_id=group_id, permission=one.value) for one in grant.permissions)
    session.add_all(GroupSourceRow(group_id=group_id, source=one) for one in grant.sources or ())
    limited = grant.sources is not None
    session.execute(update(GroupRow).where(GroupRow.group_id == group_id).values(limited=limited))
