"""Who wrote a backup, as far as it can be known.

An encrypted backup proves it by its manifest's code. One that is not encrypted proves nothing: whoever can write to
the storage can lay one down. What this system wrote, its catalog knows. For what it does not know, the rule is: a job
that has encrypted before goes on encrypting. An unencrypted backup that is older than all encrypted ones of its job is
from before encryption was switched on; one that this system took after it was switched off is in the catalog.
"""

from __future__ import annotations

from datetime import datetime

from core import naming
from core.container import Keyring
from core.errors import BackupNotFound, DBackupError, TamperedManifest
from core.log import logger
from core.manifest import Manifest
from core.ports import StorageAdapter
from services import stored
from services.records import catalog
from services.stored import StoredBackup

log = logger(service="catalog")


class Authors:
    """Judges the backups of one destination, which is listed once at most."""

    def __init__(self, storage: StorageAdapter) -> None:
        self._storage = storage
        self._first_encrypted: dict[str, str] = {}  # by job folder: the id of the oldest encrypted backup, or ""

    def require(self, backup: StoredBackup, keys: Keyring) -> None:
        """Check that a backup is what it claims to be. Raises TamperedManifest, or WrongKey without its key."""
        stored.require_genuine(backup, keys)
        self.require_expected(backup)

    def require_expected(self, backup: StoredBackup) -> None:
        """Compare a backup with what this system knows of it and of its job. Raises TamperedManifest.

        A catalog that cannot be read keeps nobody from a restore.
        """
        manifest = backup.manifest
        known = _recorded(manifest.backup_id)
        if known is not None:
            require_equal(known, manifest)
        elif not manifest.key_ids() and self._encrypts_by(backup.folder.slug, naming.started_at(manifest.backup_id)):
            raise TamperedManifest(
                f"{manifest.backup_id} is not encrypted, but older backups of {manifest.job.name} are, and this system "
                f"has not taken it: somebody who can write to {self._storage.describe()} may have put it there",
                hint="use an older backup by its id, or, if you know who took this one, accept it: --accept-tampered",
            )

    def _encrypts_by(self, slug: str, moment: datetime) -> bool:
        """Whether an encrypted backup of the job was started at that moment or before."""
        if slug not in self._first_encrypted:
            beside = (one.backup_id for one in stored.folders(self._storage, slug) if one.encrypted)
            self._first_encrypted[slug] = min([*beside, *_recorded_encrypted(slug)], default="")
        first = self._first_encrypted[slug]
        return bool(first) and naming.started_at(first) <= moment


def _recorded(backup_id: str) -> Manifest | None:
    """What this system wrote, if it did."""
    try:
        return catalog().find(backup_id).manifest
    except BackupNotFound:
        return None
    except DBackupError as error:
        log.warning("the manifest could not be compared with the catalog", reason=error.message)
        return None


def _recorded_encrypted(slug: str) -> list[str]:
    """The ids of a job's encrypted backups, wherever they lie."""
    try:
        manifests = [entry.manifest for entry in catalog().backups(job=slug)]
    except DBackupError:  # it has been warned of
        return []
    return [manifest.backup_id for manifest in manifests if manifest.key_ids()]


def require_equal(known: Manifest, manifest: Manifest) -> None:
    """Compare a manifest with the one that this system knows of. Raises TamperedManifest."""
    if known != manifest:
        raise TamperedManifest(
            f"the manifest of {manifest.backup_id} is not the one that was written when the backup was taken",
            hint="use another copy of this backup; somebody who can write to this storage has changed it",
        )
