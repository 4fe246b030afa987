"""The Recovery Kit: a zip with which backups can be opened on a machine that has never seen this program."""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from core.container import ProfileKey
from core.errors import ConfigurationError, EncryptionError

KEYS = "keys.json"
LARGEST = 1 << 20  # bytes of a kit, packed and unpacked; thousands of keys fit
SCRIPT = "recover.py"
README = """\
dbackup recovery kit

Keep this file where the backups are not: whoever has both can read the backups, and without it nobody can.

To open backups you need Python 3.9 or newer and its package "cryptography" (pip install cryptography).

    1. Unpack this zip.
    2. Copy a folder of backups from its storage to this machine, for example to ./backups
    3. See what is there:     python3 recover.py ./backups --list
    4. Verify and decrypt:    python3 recover.py ./backups --out ./recovered

What you get are plain files of the database's own tools, compressed by a standard tool:

    shop.dump.zst   zstd -d shop.dump.zst, then: createdb --template=template0 shop_new
                    and: pg_restore --exit-on-error --dbname=shop_new shop.dump
    shop.sql.zst    zstd -d shop.sql.zst, then feed it to the database's own client
    shop.db.zst     zstd -d shop.db.zst, then open shop.db with sqlite3
    *.gz            gunzip instead of zstd -d
"""


def kit(keys: Sequence[ProfileKey]) -> bytes:
    """A kit with these keys. Raises ConfigurationError when there are none."""
    if not keys:
        raise ConfigurationError("there is no key to put into a kit", hint="make one with: dbackup key create NAME")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        archive.writestr(KEYS, json.dumps([_written(key) for key in keys], indent=2) + "\n")
        archive.writestr(SCRIPT, files("core.recovery").joinpath(SCRIPT).read_text())
    return made.getvalue()


def write_kit(path: Path, keys: Sequence[ProfileKey]) -> None:
    """Write a kit with these keys to a new 0600 file. Raises ConfigurationError when that cannot be done."""
    made = kit(keys)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the recovery kit to {path}: {error.strerror}", hint="choose a new file in a folder of yours"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(made)


def _written(key: ProfileKey) -> dict[str, str]:
    return {"profile": key.profile, "key_id": key.key_id, "key": base64.b64encode(key.key).decode()}


def read_keys(path: Path) -> list[ProfileKey]:
    """The keys of a kit or of its keys.json. Raises ConfigurationError, or EncryptionError for a damaged key."""
    try:
        with path.open("rb") as file:
            written = file.read(LARGEST + 1)
    except OSError as error:
        raise _unreadable(str(path), error.strerror or str(error)) from None
    return keys_in(written, str(path))


def keys_in(written: bytes, name: str) -> list[ProfileKey]:
    """The keys in the bytes of a kit or of its keys.json, which is called ``name``. Raises as :func:`read_keys`."""
    if len(written) > LARGEST:
        raise _unreadable(name, f"it has more than {LARGEST:,} bytes")
    try:
        text = _keys_text(written)
    except (KeyError, ValueError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise _unreadable(name, str(error)) from None
    try:
        return [_read(one) for one in json.loads(text)]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise EncryptionError(f"the keys in {name} are damaged", hint="use another copy of the kit") from None


def _unreadable(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read keys from {name}: {reason}", hint="give a recovery kit, or the keys.json out of one"
    )


def _keys_text(written: bytes) -> str:
    file = io.BytesIO(written)
    if not zipfile.is_zipfile(file):
        return written.decode()
    with zipfile.ZipFile(file) as archive, archive.open(KEYS) as keys:
        text = keys.read(LARGEST + 1)
    if len(text) > LARGEST:  # what a few bytes of a zip may swell to
        raise ValueError(f"its {KEYS} has more than {LARGEST:,} bytes")
    return text.decode()


def _read(written: dict[str, str]) -> ProfileKey:
    key = ProfileKey(written["profile"], base64.b64decode(written["key"], validate=True))
    if key.key_id != written["key_id"]:
        raise EncryptionError(f"the key {written['key_id']} of profile {key.profile!r} is damaged")
    return key
