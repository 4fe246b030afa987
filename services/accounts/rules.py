"""What nobody may do, whatever their permissions: reach above themselves, or leave the system without administrator."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.errors import ConfigurationError, PermissionError
from core.rights import Rights
from db import people
from db.account_models import ADMINISTRATORS, GroupRow, UserRow


def require_above(who: Rights, user: UserRow, session: Session) -> None:
    """Raises PermissionError unless ``who`` may do all that the user may: a password that one sets opens an account."""
    if not who.covers(people.rights_of(session, user.user_id)):
        raise PermissionError(
            f"{user.name} may do more than you", hint="ask somebody who may do as much, or an administrator"
        )


def require_giving(who: Rights, given: Rights, group: str) -> None:
    """Raises PermissionError when a group gives, or would give, what ``who`` does not have."""
    if not who.covers(given):
        raise PermissionError(
            f"the group {group} permits more than you have, and nobody gives away more",
            hint="ask somebody who has as much, or an administrator",
        )


def require_ordinary(group: GroupRow) -> None:
    """Raises ConfigurationError for the protected group."""
    if group.group_id == ADMINISTRATORS:
        raise ConfigurationError(
            f"the group {group.name} is protected: it has every permission, and cannot be changed or deleted",
            hint="make another group with fewer permissions",
        )


def require_administrator_left(session: Session) -> None:
    """After a change, in its transaction: raises ConfigurationError, which undoes it, when nobody is left."""
    if not people.enabled_administrators(session):
        raise ConfigurationError(
            "this would leave the system without an administrator who may log in",
            hint="make another user an administrator first: dbackup group add Administrators NAME",
        )
