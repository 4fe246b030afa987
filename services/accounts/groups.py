"""Groups: what their members may do, and on which sources. Nobody gives, or takes, what they do not have."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.errors import ConfigurationError
from core.permissions import Permission
from core.rights import Grant, Rights
from db import people
from db.account_models import ADMINISTRATORS, GroupRow
from db.session import Database
from services.accounts import rules
from services.accounts.users import add_to_group, changing, group_called, user_called

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Group:
    """One group. ``sources`` are those it is limited to, or None; the protected one cannot be changed."""

    name: str
    permissions: frozenset[Permission]
    sources: frozenset[str] | None
    protected: bool
    members: tuple[str, ...] = ()


def create(database: Database, who: Rights, name: str, grant: Grant) -> Group:
    """Make a group. Raises ConfigurationError for a name that is taken, PermissionError for too much."""
    row = GroupRow(group_id=str(uuid.uuid4()), name=_valid(name), name_key=people.group_key(name), limited=False)
    rules.require_giving(who, Rights.of([grant]), row.name)
    with changing(database) as session:
        if people.group_named(session, name):
            raise ConfigurationError(f"there is a group {row.name} already", hint="choose another name")
        session.add(row)
        session.flush()
        people.set_grant(session, row.group_id, grant)
        return _group(row, people.grants(session, [row.group_id])[row.group_id])


def get(database: Database, name: str) -> Group:
    """One group with its members. Raises ConfigurationError when there is none of this name."""
    with database.session() as session:
        row = group_called(session, name)
        members = tuple(user.name for user in people.members(session, row.group_id))
        return _group(row, people.grants(session, [row.group_id])[row.group_id], members)


def page(database: Database, *, limit: int = 50, offset: int = 0) -> Sequence[Group]:
    """Groups by name, without their members."""
    with database.session() as session:
        rows = people.groups(session, limit=limit, offset=offset)
        grants = people.grants(session, [row.group_id for row in rows])
        return [_group(row, grants[row.group_id]) for row in rows]


def count(database: Database) -> int:
    """How many groups there are."""
    with database.session() as session:
        return people.count_groups(session)


def change(database: Database, who: Rights, name: str, grant: Grant) -> None:
    """Give a group other permissions and sources. Raises PermissionError unless ``who`` has both old and new ones."""
    with changing(database) as session:
        row = _changeable(session, who, name)
        rules.require_giving(who, Rights.of([grant]), row.name)
        people.set_grant(session, row.group_id, grant)


def delete(database: Database, who: Rights, name: str) -> None:
    """Forget a group. Its members stay, without what it gave them."""
    with changing(database) as session:
        session.delete(_changeable(session, who, name))


def add(database: Database, who: Rights, name: str, user: str) -> None:
    """Make a user a member. Raises PermissionError when the group permits more than ``who`` has."""
    with changing(database) as session:
        add_to_group(session, who, user_called(session, user), group_called(session, name))


def remove(database: Database, who: Rights, name: str, user: str) -> None:
    """Make a user no member any longer. Raises ConfigurationError for the last administrator."""
    with changing(database) as session:
        row, member = group_called(session, name), user_called(session, user)
        rules.require_giving(who, _rights(session, row), row.name)
        if not people.leave(session, member.user_id, row.group_id):
            raise ConfigurationError(f"{member.name} is not in {row.name}", hint=f"see: dbackup group show {row.name}")
        if row.group_id == ADMINISTRATORS:
            rules.require_administrator_left(session)


def _changeable(session: Session, who: Rights, name: str) -> GroupRow:
    row = group_called(session, name)
    rules.require_ordinary(row)
    rules.require_giving(who, _rights(session, row), row.name)
    return row


def _rights(session: Session, row: GroupRow) -> Rights:
    return Rights.of(people.grants(session, [row.group_id]).values())


def _valid(name: str) -> str:
    wanted = name.strip()
    if not wanted or len(wanted) > _LONGEST_NAME or not wanted.isprintable():
        raise ConfigurationError(
            "this cannot be the name of a group", hint=f"use up to {_LONGEST_NAME} printable characters"
        )
    return wanted


def _group(row: GroupRow, grant: Grant, members: tuple[str, ...] = ()) -> Group:
    protected = row.group_id == ADMINISTRATORS
    return Group(row.name, grant.permissions, grant.sources, protected, members)
