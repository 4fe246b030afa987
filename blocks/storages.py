"""Storage destinations as blocks: one for each kind, with the fields of the storage's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from adapters.storage.local import Local
from blocks.sealed import SealedBlock
from core.ports import StorageAdapter


class StorageBlock(SealedBlock):
    """A place that backups are stored in."""

    adapter: ClassVar[type[Any]]

    def open(self) -> StorageAdapter:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        adapter: StorageAdapter = self.adapter(self.adapter.config_type.model_validate(self.opened()))
        return adapter

    @classmethod
    def of(cls, config: Any) -> StorageBlock:
        """The block that keeps a storage's configuration."""
        return cls(**{name: value for name, value in config if value is not None})


class LocalStorage(StorageBlock):
    """A folder on the machine that runs the backup."""

    _block_type_name = "dbackup local folder"
    _block_type_slug = "dbackup-local"
    adapter = Local

    path: Path


STORAGES: dict[str, type[StorageBlock]] = {block.adapter.kind: block for block in (LocalStorage,)}
