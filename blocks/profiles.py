"""Encryption profiles: the keys that seal backups, themselves sealed under the ENCRYPTION_KEY."""

from __future__ import annotations

import base64

from pydantic import SecretStr

from blocks.sealed import SealedBlock
from core.container import ProfileKey


class EncryptionProfile(SealedBlock):
    """The keys of one profile, newest first: the first seals new backups, all of them open old ones."""

    _block_type_name = "dbackup encryption profile"
    _block_type_slug = "dbackup-encryption-profile"
    _description = "Keys that encrypt backups. Made and changed with: dbackup key"

    keys: SecretStr

    @classmethod
    def of(cls, keys: tuple[ProfileKey, ...]) -> EncryptionProfile:
        """The block that keeps these keys."""
        return cls(keys=SecretStr(",".join(base64.b64encode(key.key).decode() for key in keys)))

    def open(self, name: str) -> tuple[ProfileKey, ...]:
        """The keys in clear, newest first. Raises WrongKey or EncryptionError."""
        return tuple(ProfileKey(name, base64.b64decode(text)) for text in self.opened()["keys"].split(","))
