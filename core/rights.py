"""What one person may do, put together from the groups they are in.

A group may be limited to some sources. The limit belongs to what that group permits, not to the person: who may
restore one source, and look at all of them through another group, may still restore only the one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.permissions import Permission


@dataclass(frozen=True)
class Grant:
    """What one group gives: permissions, on the named sources only or, with None, on all."""

    permissions: frozenset[Permission]
    sources: frozenset[str] | None = None
    administrator: bool = False


@dataclass(frozen=True)
class Rights:
    """Permissions; those in ``limits`` hold for the named sources only. Administrators may manage each other."""

    permissions: frozenset[Permission] = frozenset()
    limits: Mapping[Permission, frozenset[str]] = field(default_factory=dict, hash=False)
    administrator: bool = False

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> Rights:
        """All of several grants. A permission is limited only where no grant gives it on every source."""
        permissions: set[Permission] = set()
        limits: dict[Permission, frozenset[str]] = {}
        administrator = False
        for grant in grants:
            administrator |= grant.administrator
            for permission in grant.permissions:
                limited = grant.sources if permission.is_about_sources else None
                if limited is None:
                    limits.pop(permission, None)
                elif permission not in permissions or permission in limits:
                    limits[permission] = limits.get(permission, frozenset()) | limited
                permissions.add(permission)
        return cls(frozenset(permissions), limits, administrator)

    def reaches(self, permission: Permission, source: str) -> bool:
        """Whether the permission is held, and for this source."""
        return permission in self.permissions and (permission not in self.limits or source in self.limits[permission])

    def covers(self, other: Rights) -> bool:
        """Whether nothing in ``other`` goes beyond this. Nobody may give, or rule over, what they do not have."""
        if other.administrator and not self.administrator:
            return False
        within = (
            permission in other.limits and other.limits[permission] <= allowed
            for permission, allowed in self.limits.items()
            if permission in other.permissions
        )
        return other.permissions <= self.permissions and all(within)

    def only(self, scopes: Iterable[Permission]) -> Rights:
        """The part of these rights that ``scopes`` names; never that of an administrator."""
        kept = self.permissions & frozenset(scopes)
        return Rights(kept, {permission: limit for permission, limit in self.limits.items() if permission in kept})


EVERYTHING = Rights(frozenset(Permission), administrator=True)
