"""Permissions as people choose them: an area a line, in words that say what each one lets somebody do."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from core.permissions import Permission

AREAS: Mapping[str, str] = {
    "sources": "Sources",
    "storages": "Storage",
    "jobs": "Jobs",
    "backups": "Backups",
    "notifications": "Channels",
    "vault": "Keys",
    "system": "System",
    "users": "Users",
    "groups": "Groups",
    "providers": "Single sign-on",
    "audit": "Audit",
    "account": "Own account",
    "tokens": "Own API tokens",
}
_WORDS = {
    "read": "see",
    "write": "change",
    "execute": "run",
    "verify": "check",
    "restore": "restore",
    "download": "download",
    "reveal": "write recovery kits",
    "own": "use",
}


def words(permission: Permission) -> str:
    """One permission in its area: ``see``, ``change``."""
    doing = permission.value.partition(":")[2]
    return _WORDS.get(doing, doing)


def by_area(permissions: Collection[Permission]) -> dict[str, list[Permission]]:
    """The permissions of each area, in the order in which they are told."""
    found = {
        title: [one for one in Permission if one in permissions and one.value.startswith(f"{area}:")]
        for area, title in AREAS.items()
    }
    return {title: some for title, some in found.items() if some}


def told(permissions: Collection[Permission]) -> str:
    """Permissions in a sentence: ``Jobs: see, run; Backups: see``."""
    areas = by_area(permissions).items()
    return "; ".join(f"{title}: {', '.join(map(words, some))}" for title, some in areas) or "nothing"


def choice(offered: Collection[Permission], key: str, chosen: Collection[Permission] = ()) -> frozenset[Permission]:
    """Let somebody choose among those that are offered."""
    found: list[Permission] = []
    for title, some in by_area(offered).items():
        default = [one for one in some if one in chosen]
        found += st.pills(
            title, some, selection_mode="multi", default=default, format_func=words, key=f"{key}-{title}"
        )  # fmt: skip
    return frozenset(found)
