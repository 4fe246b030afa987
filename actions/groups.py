"""Groups: what their members may do, and on which sources. Nobody gives, or takes, what they do not have."""

from __future__ import annotations

from collections.abc import Sequence

from actions.door import Identity, action
from core.permissions import Permission
from core.rights import Grant
from services.accounts import groups
from services.accounts.groups import Group
from services.records import database


@action(Permission.GROUPS_WRITE)
def create(who: Identity, name: str, grant: Grant) -> Group:
    """Make a group. Raises ConfigurationError for a name that is taken, PermissionError for too much."""
    return groups.create(database(), who.rights, name, grant)


@action(Permission.USERS_READ)
def page(who: Identity, *, limit: int = 50, offset: int = 0) -> Sequence[Group]:
    """Groups by name, without their members."""
    return groups.page(database(), limit=limit, offset=offset)


@action(Permission.USERS_READ)
def count(who: Identity) -> int:
    """How many groups there are."""
    return groups.count(database())


@action(Permission.USERS_READ)
def get(who: Identity, name: str) -> Group:
    """One group with its members. Raises ConfigurationError when there is none of this name."""
    return groups.get(database(), name)


@action(Permission.GROUPS_WRITE)
def change(who: Identity, name: str, grant: Grant) -> None:
    """Give a group other permissions and sources. Raises PermissionError unless one has both old and new ones."""
    groups.change(database(), who.rights, name, grant)


@action(Permission.GROUPS_WRITE)
def delete(who: Identity, name: str) -> None:
    """Forget a group. Its members stay, without what it gave them."""
    groups.delete(database(), who.rights, name)


@action(Permission.GROUPS_WRITE, target=lambda name, user: f"{user} into {name}")
def add(who: Identity, name: str, user: str) -> None:
    """Make a user a member. Raises PermissionError when the group permits more than one has."""
    groups.add(database(), who.rights, name, user)


@action(Permission.GROUPS_WRITE, target=lambda name, user: f"{user} out of {name}")
def remove(who: Identity, name: str, user: str) -> None:
    """Make a user no member any longer. Raises ConfigurationError for the last administrator."""
    groups.remove(database(), who.rights, name, user)
