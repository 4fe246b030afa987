"""Storage destinations as blocks: one for each kind, with the fields of the storage's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from adapters.storage.local import Local
from blocks.sealed import AdapterBlock
from core.ports import StorageAdapter


class StorageBlock(AdapterBlock):
    """A place that backups are stored in."""

    def open(self) -> StorageAdapter:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        return cast(StorageAdapter, self._adapter())


class LocalStorage(StorageBlock):
    """A folder on the machine that runs the backup."""

    _block_type_name = "dbackup local folder"
    _block_type_slug = "dbackup-local"
    adapter = Local

    path: Path


STORAGES: dict[str, type[StorageBlock]] = {block.adapter.kind: block for block in (LocalStorage,)}
