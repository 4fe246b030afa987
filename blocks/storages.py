"""Storage destinations as blocks: one for each kind, with the fields of the storage's own configuration."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self, cast

from pydantic import BaseModel, SecretStr

from adapters.storage.local import Local
from adapters.storage.s3 import S3
from adapters.storage.sftp import SFTP
from blocks.sealed import AdapterBlock
from core.ports import StorageAdapter


class StorageBlock(AdapterBlock):
    """A place that backups are stored in."""

    def open(self) -> StorageAdapter:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        return cast(StorageAdapter, self._adapter())


class LocalStorage(StorageBlock):
    """A folder on the machine that runs the backup; once saved, it must be the one that was marked.

    ``host`` is the machine that has marked it: the one that makes the block of a configuration.
    """

    _block_type_name = "dbackup local folder"
    _block_type_slug = "dbackup-local"
    adapter = Local

    path: Path
    marked: bool = True
    host: str = ""

    @classmethod
    def of(cls, config: BaseModel) -> Self:
        """The block that keeps a configuration, as this machine's."""
        return super().of(config.model_copy(update={"host": socket.gethostname()}))


class SFTPStorage(StorageBlock):
    """A folder of an SFTP server; once saved, it must be the one that was marked."""

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
    marked: bool = True


class S3Storage(StorageBlock):
    """A bucket of a server that speaks S3. ``credentials`` names a saved block of prefect-aws."""

    _block_type_name = "dbackup S3 bucket"
    _block_type_slug = "dbackup-s3"
    adapter = S3

    bucket: SecretStr
    prefix: SecretStr = SecretStr("")
    endpoint: SecretStr | None = None
    region: str | None = None
    path_style: bool = False
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    credentials: str | None = None
    ca_bundle: str | None = None
    connect_timeout: float = 10
    read_timeout: float = 60
    request_checksum_calculation: str = "when_supported"
    conditional_writes: bool = True
    storage_class: str | None = None
    sse: str | None = None
    sse_kms_key_id: SecretStr | None = None
    lock_days: int | None = None
    lock_mode: str = "GOVERNANCE"
    part_size: int = 16 << 20
    max_parts: int = 10_000
    max_object_size: int = 5 << 40
    uploads: int = 4
    read_back: bool = False


STORAGES: dict[str, type[StorageBlock]] = {
    block.adapter.kind: block for block in (LocalStorage, S3Storage, SFTPStorage)
}
