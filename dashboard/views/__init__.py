"""The pages, in the order of the menu. Another page is a module here and one line in this table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.permissions import Permission as May
from dashboard.page import Page
from dashboard.views import (
    account,
    audit,
    backups,
    channels,
    groups,
    home,
    integrity,
    jobs,
    restore,
    runs,
    settings,
    single_sign_on,
    sources,
    storages,
    users,
    vault,
)

SECTIONS: Mapping[str, Sequence[Page]] = {
    "": (
        Page("Home", "", "home", home.draw, frozenset({May.BACKUPS_READ})),
        Page("Jobs", "jobs", "event_repeat", jobs.draw, frozenset({May.JOBS_READ})),
        Page("Runs", "runs", "play_circle", runs.draw, frozenset({May.JOBS_READ})),
    ),
    "What is stored": (
        Page("Backups", "backups", "inventory_2", backups.draw, frozenset({May.BACKUPS_READ})),
        Page("Restore", "restore", "settings_backup_restore", restore.draw, frozenset({May.BACKUPS_RESTORE})),
        Page("Integrity", "integrity", "verified", integrity.draw, frozenset({May.BACKUPS_READ})),
    ),
    "Set up": (
        Page("Sources", "sources", "database", sources.draw, frozenset({May.SOURCES_READ})),
        Page("Storage", "storage", "hard_drive", storages.draw, frozenset({May.STORAGES_READ})),
        Page("Channels", "channels", "notifications", channels.draw, frozenset({May.NOTIFICATIONS_READ})),
        Page("Vault", "vault", "key", vault.draw, frozenset({May.VAULT_READ})),
    ),
    "System": (
        Page("Settings", "settings", "tune", settings.draw, frozenset({May.SYSTEM_READ})),
        Page("Audit", "audit", "history", audit.draw, frozenset({May.AUDIT_READ})),
    ),
    "People": (
        Page("Users", "users", "group", users.draw, frozenset({May.USERS_READ})),
        Page("Groups", "groups", "shield_person", groups.draw, frozenset({May.USERS_READ})),
        Page("My account", "account", "account_circle", account.draw, frozenset({May.ACCOUNT_OWN, May.TOKENS_OWN})),
        Page("Single sign-on", "single-sign-on", "badge", single_sign_on.draw, frozenset({May.PROVIDERS_READ})),
    ),
}
