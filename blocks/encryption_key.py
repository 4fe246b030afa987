"""Where the ENCRYPTION_KEY comes from: ``DBACKUP_ENCRYPTION_KEY``, or a 0600 file in the home.

The file is generated once, the first time anything is sealed on a machine of its own. Where sealed things exist
already, or a shared Prefect server is used, a missing key is an error: a new one would open nothing.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from blocks.private_files import written_once
from core.errors import ConfigurationError, EncryptionError
from core.log import logger
from core.sealing import EncryptionKey, EncryptionKeys
from core.settings import Settings, settings

FILE = "encryption.key"
WITNESS = "prefect"  # the embedded server's folder: when it exists, things have been sealed
log = logger(service="encryption")


@lru_cache(maxsize=1)
def encryption_keys() -> EncryptionKeys:
    """The keys of this process. Raises EncryptionError when they are missing or malformed."""
    current = settings()
    if current.encryption_key is not None:
        return EncryptionKeys.parse(current.encryption_key.get_secret_value())
    path = current.home / FILE
    try:
        return EncryptionKeys.parse(path.read_text())
    except FileNotFoundError:
        return _first_key(current, path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the ENCRYPTION_KEY in {path}: {error.strerror}",
            hint="run as the user it belongs to, or set DBACKUP_ENCRYPTION_KEY",
        ) from None


def _first_key(current: Settings, path: Path) -> EncryptionKeys:
    if os.environ.get("PREFECT_API_URL"):
        raise EncryptionError(
            "DBACKUP_ENCRYPTION_KEY is not set, and a Prefect server shared with others needs the key they share",
            hint="set DBACKUP_ENCRYPTION_KEY to the key of that system",
        )
    if (current.home / WITNESS).exists():
        raise EncryptionError(
            f"the ENCRYPTION_KEY is missing: {path} is gone, and what it sealed cannot be opened without it",
            hint="put the file back from your copy, or set DBACKUP_ENCRYPTION_KEY",
        )
    key = EncryptionKey.generate()
    keys = EncryptionKeys.parse(written_once(path, key.key.hex() + "\n"))
    if keys.current == key:
        log.warning(
            "a new ENCRYPTION_KEY was made: keep a copy of this file elsewhere, without it no saved password or "
            "backup key can be opened",
            file=str(path),
            key_id=key.key_id,
        )
    return keys
