"""Storage destinations as blocks: one for each kind, with the fields of the storage's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import SecretStr

from adapters.storage.local import Local
from adapters.storage.sftp import SFTP
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


class SFTPStorage(StorageBlock):
    """A folder of an SFTP server."""

    _block_type_name = "dbackup SFTP"
    _block_type_slug = "dbackup-sftp"
    adapter = SFTP

    host: SecretStr
    port: int = 22
    path: str
    user: SecretStr | None = None
    password: SecretStr | None = None
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    passphrase: SecretStr | None = None
    agent: bool = False
    fingerprint: str | None = None
    known_hosts: Path | None = None
    connect_timeout: int = 10
    timeout: int = 60
    keepalive: int = 30


STORAGES: dict[str, type[StorageBlock]] = {block.adapter.kind: block for block in (LocalStorage, SFTPStorage)}
