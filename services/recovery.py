"""The Recovery Kit: a zip with which backups can be opened on a machine that has never seen this program."""

from __future__ import annotations

import base64
import binascii
import json
import os
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from core.container import ProfileKey
from core.errors import ConfigurationError, EncryptionError

KEYS = "keys.json"
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


def write_kit(path: Path, keys: Sequence[ProfileKey]) -> None:
    """Write a kit with these keys to a new 0600 file. Raises ConfigurationError when that cannot be done."""
    if not keys:
        raise ConfigurationError("there is no key to put into a kit", hint="make one with: dbackup key create NAME")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the recovery kit to {path}: {error.strerror}", hint="choose a new file in a folder of yours"
        ) from None
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as kit:
        kit.writestr("README.txt", README)
        kit.writestr(KEYS, json.dumps([_written(key) for key in keys], indent=2) + "\n")
        kit.writestr(SCRIPT, files("core.recovery").joinpath(SCRIPT).read_text())


def _written(key: ProfileKey) -> dict[str, str]:
    return {"profile": key.profile, "key_id": key.key_id, "key": base64.b64encode(key.key).decode()}


def read_keys(path: Path) -> list[ProfileKey]:
    """The keys of a kit or of its keys.json. Raises ConfigurationError, or EncryptionError for a damaged key."""
    try:
        text = _keys_text(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"cannot read keys from {path}: {error}", hint="give a recovery kit, or the keys.json out of one"
        ) from None
    try:
        return [_read(written) for written in json.loads(text)]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise EncryptionError(f"the keys in {path} are damaged", hint="use another copy of the kit") from None


def _keys_text(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return path.read_text()
    with zipfile.ZipFile(path) as kit:
        return kit.read(KEYS).decode()


def _read(written: dict[str, str]) -> ProfileKey:
    key = ProfileKey(written["profile"], base64.b64decode(written["key"], validate=True))
    if key.key_id != written["key_id"]:
        raise EncryptionError(f"the key {written['key_id']} of profile {key.profile!r} is damaged")
    return key
