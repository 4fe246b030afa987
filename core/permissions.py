"""What a person may be allowed to do."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase


class Permission(StrEnum):
    """One right; groups hold sets of them, and every action asks for one."""

    SOURCES_READ = "sources:read"
    SOURCES_WRITE = "sources:write"
    STORAGES_READ = "storages:read"
    STORAGES_WRITE = "storages:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    JOBS_EXECUTE = "jobs:execute"
    BACKUPS_READ = "backups:read"
    BACKUPS_VERIFY = "backups:verify"
    BACKUPS_DOWNLOAD = "backups:download"
    BACKUPS_RESTORE = "backups:restore"
    BACKUPS_WRITE = "backups:write"
    VAULT_READ = "vault:read"
    VAULT_WRITE = "vault:write"
    VAULT_REVEAL = "vault:reveal"
    SYSTEM_READ = "system:read"
    SYSTEM_WRITE = "system:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    GROUPS_WRITE = "groups:write"
    PROVIDERS_READ = "providers:read"
    PROVIDERS_WRITE = "providers:write"
    AUDIT_READ = "audit:read"
    ACCOUNT_OWN = "account:own"
    TOKENS_OWN = "tokens:own"

    @classmethod
    def matching(cls, pattern: str) -> frozenset[Permission]:
        """The permission of this name, or all that match a pattern such as ``backups:*``."""
        return frozenset(one for one in cls if fnmatchcase(one.value, pattern))

    @property
    def is_reading(self) -> bool:
        """Whether it changes and reveals nothing."""
        return self.value.endswith(":read")

    @property
    def is_about_sources(self) -> bool:
        """Whether a group that is limited to some sources has it for those only."""
        return self.value.partition(":")[0] in ("sources", "jobs", "backups")
