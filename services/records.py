"""The catalog and the record of runs of this system, in the database that the settings name."""

from __future__ import annotations

from functools import lru_cache

from core.errors import BackupNotFound, DBackupError, TamperedManifest
from core.log import logger
from core.manifest import Manifest
from core.settings import settings
from db.catalog import Catalog
from db.executions import Executions
from db.owed import OwedCopies
from db.session import Database, open_database

log = logger(service="catalog")


@lru_cache(maxsize=1)
def database() -> Database:
    """The system's database, brought up to date. Raises ConfigurationError."""
    return open_database(settings().catalog_url)


def catalog() -> Catalog:
    """The index of backups; the destinations are the truth."""
    return Catalog(database())


def require_as_recorded(manifest: Manifest) -> None:
    """Compare a manifest with the one that this system wrote, where it knows. Raises TamperedManifest.

    Only an encrypted backup proves by itself who wrote it: whoever can write to the storage could otherwise put a
    plain backup of their own in its place. A catalog that cannot be read keeps nobody from a restore.
    """
    try:
        known = catalog().find(manifest.backup_id).manifest
    except BackupNotFound:
        return
    except DBackupError as error:
        log.warning("the manifest could not be compared with the catalog", reason=error.message)
        return
    if known != manifest:
        raise TamperedManifest(
            f"the manifest of {manifest.backup_id} is not the one that was written when the backup was taken",
            hint="use another copy of this backup; somebody who can write to this storage has changed it",
        )


def executions() -> Executions:
    """The record of runs."""
    return Executions(database())


def owed_copies() -> OwedCopies:
    """What earlier runs owe to some of their destinations."""
    return OwedCopies(database())
