#!/usr/bin/env python3
"""Open backups without the program that made them.

    python3 recover.py FOLDER --list          what is there, and for what the keys are at hand
    python3 recover.py FOLDER --out DIR       verify and decrypt everything into DIR

Needs Python 3.9 or newer and the package "cryptography"; keys.json is looked for beside this script. FOLDER is a copy
of a destination, of a job's folder or of one backup. What comes out are plain files, still compressed by a standard
tool (zstd -d, gunzip), for the database's own client. A file appears only after its last byte has been verified.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    sys.exit('error: the Python package "cryptography" is missing; install it with: pip install cryptography')

MANIFEST = "backup.meta.json"
MAX_MANIFEST = 64 << 20  # bytes
MAGIC = b"DBACKUP\x01"
MAX_HEADER = 65536  # bytes
CHUNKS = range(1 << 10, (16 << 20) + 1)  # bytes of plaintext in a chunk
TAG = 16  # bytes
READ = 1 << 20  # bytes
NAME = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+(?:~[0-9a-f]{16})?\.[a-z0-9]{1,12}(?:\.zst|\.gz)?(?:\.enc)?")
Keys = dict[str, bytes]  # by key id


class Refused(Exception):
    """Something is not as it should be; the text says what, in one sentence."""


# --- what the user asks for -------------------------------------------------------------------------------


def main() -> int:
    """List or recover everything in a folder; gives the exit code."""
    arguments = parse_arguments()
    os.umask(0o077)  # what comes out is plaintext
    try:
        keys = read_keys(arguments.keys)
        manifests = sorted(arguments.folder.rglob(MANIFEST))
        if not manifests:
            raise Refused(f"there is no complete backup in {arguments.folder}")
    except (Refused, OSError) as error:
        return complain(str(error))
    return max(handle(path, keys, arguments) for path in manifests)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where the backups lie")
    parser.add_argument("--keys", metavar="FILE", type=Path, help="default: keys.json beside this script")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("recovered"), help="default: ./recovered")
    parser.add_argument("--list", action="store_true", help="only show what is there")
    parser.add_argument(
        "--ignore-manifest-code",
        action="store_true",
        help="go on when a manifest is not genuine; encrypted files are still verified chunk by chunk",
    )
    return parser.parse_args()


def handle(path: Path, keys: Keys, arguments: argparse.Namespace) -> int:
    """List or recover one backup; gives its part of the exit code."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_MANIFEST else b""
        manifest = read_manifest(raw)
        if arguments.list:
            show(manifest, path.parent, keys)
            return 0
        if not arguments.ignore_manifest_code:
            authenticate(manifest, keys)
    except (Refused, OSError) as error:
        return complain(f"{path.parent}: {error}")
    target = arguments.out / path.parent.parent.name / path.parent.name
    return max((recover(path.parent, entry, target, keys) for entry in manifest["files"]), default=0)


def show(manifest: dict[str, Any], folder: Path, keys: Keys) -> None:
    say(f"{folder}")
    say(f"    job {manifest['job']['name']!r}, {manifest['source']['engine']}, finished {manifest['finished_at']}")
    for entry in manifest["files"]:
        sealed = entry.get("encryption")
        state = "not encrypted" if not sealed else "key at hand" if sealed["key_id"] in keys else "KEY MISSING"
        say(f"    {entry['name']}  {contents(entry)}  {entry['size']} bytes  {state}")


def contents(entry: dict[str, Any]) -> str:
    """The name of the database in a file, or of all of them."""
    names = entry.get("databases")
    if isinstance(names, dict):
        return "databases " + ", ".join(map(repr, sorted(names)))
    return f"database {entry['database']!r}"


def recover(folder: Path, entry: dict[str, Any], target: Path, keys: Keys) -> int:
    """Verify and decrypt one file; gives its part of the exit code."""
    name = entry["name"]
    goal = target / (name[: -len(".enc")] if entry.get("encryption") else name)
    part = goal.with_name(f".{goal.name}.part")
    try:
        if goal.exists():
            raise Refused(f"{goal} exists already")
        target.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("rb") as source, part.open("wb") as output:
            write_verified(source, entry, keys, output)
        part.rename(goal)
    except (Refused, OSError) as error:
        return complain(f"{folder / name}: {error}")
    finally:
        part.unlink(missing_ok=True)
    say(f"recovered {goal}")
    return 0


def write_verified(source: BinaryIO, entry: dict[str, Any], keys: Keys, output: BinaryIO) -> None:
    stored = Hashed(source)
    for plain in decrypt(stored, keys) if entry.get("encryption") else iter(lambda: stored.read(READ), b""):
        output.write(plain)
    if (stored.size, stored.sha256.hexdigest()) != (entry["size"], entry["sha256"]):
        raise Refused("its size or SHA-256 is not what the manifest says")
    output.flush()
    os.fsync(output.fileno())


def say(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (
        BrokenPipeError
    ):  # nobody reads on, as in "--list | head": that is no fault of a backup, and the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1


# --- keys and manifests -----------------------------------------------------------------------------------


def read_keys(path: Path | None) -> Keys:
    """The keys by their ids. Without a file there are none: backups that are not encrypted need none."""
    path, given = path or Path(__file__).with_name("keys.json"), path is not None
    if not given and not path.exists():
        return {}
    try:
        listed = [base64.b64decode(entry["key"], validate=True) for entry in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path} is not the keys.json of a recovery kit") from None
    return {hmac.new(key, b"dbackup/v1/key-id", hashlib.sha256).hexdigest()[:16]: key for key in listed}


def derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def need_key(keys: Keys, key_id: str) -> bytes:
    if key_id not in keys:
        raise Refused(f"it needs key {key_id}, which is not in keys.json")
    return keys[key_id]


def read_manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(
            data.decode("utf-8"), object_pairs_hook=distinct, parse_float=refuse, parse_constant=refuse
        )
        version = manifest["format"]
        described = manifest["job"]["name"], manifest["source"]["engine"], manifest["finished_at"]
        sound = all(isinstance(text, str) for text in described) and all(map(is_sound, manifest["files"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("its manifest cannot be read") from None
    if version != 1:
        raise Refused(f"it has format {version!r}; this script reads format 1")
    if not sound:
        raise Refused("its manifest names files that no backup has")
    return manifest


def is_sound(entry: dict[str, Any]) -> bool:
    """Whether a file's entry has what is needed, and a name that cannot lead out of its folder."""
    sealed = "encryption" in entry
    complete = (
        isinstance(entry["database"], str) and isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
    )
    named = NAME.fullmatch(entry["name"]) is not None and entry["name"].endswith(".enc") == sealed
    return complete and named and (not sealed or isinstance(entry["encryption"]["key_id"], str))


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return fields


def refuse(number: str) -> None:
    raise ValueError("not an integer")


def authenticate(manifest: dict[str, Any], keys: Keys) -> None:
    """Check the manifest's authentication code; a backup that is not encrypted has none."""
    fields = dict(manifest)
    code = fields.pop("mac", None)
    key_ids = {entry["encryption"]["key_id"] for entry in fields["files"] if "encryption" in entry}
    if code is None and not key_ids:
        return
    if not isinstance(code, str) or len(key_ids) != 1:
        raise Refused("its manifest was changed: the authentication code is missing or belongs to no file")
    key = derive(need_key(keys, key_ids.pop()), str(fields.get("backup_id")).encode(), b"dbackup/v1/manifest")
    written = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if not hmac.compare_digest(hmac.new(key, written, hashlib.sha256).hexdigest().encode(), code.encode()):
        raise Refused("its manifest was changed: the authentication code does not hold")


# --- encrypted objects ------------------------------------------------------------------------------------


class Hashed:
    """A file that knows the size and SHA-256 of what has been read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end."""
        data = self._file.read(size)
        self.size += len(data)
        self.sha256.update(data)
        return data


def decrypt(source: Hashed, keys: Keys) -> Iterator[bytes]:
    """The plaintext, chunk by chunk, each only after its tag has been verified."""
    header, key_id, salt, size = read_header(source)
    info = b"dbackup/v1/file" + hashlib.sha256(header).digest()
    cipher = AESGCM(derive(need_key(keys, key_id), salt, info))
    index, sealed = 0, source.read(size + TAG)
    while True:
        following = source.read(size + TAG)
        nonce = index.to_bytes(11, "big") + (b"\x00" if following else b"\x01")
        try:
            yield cipher.decrypt(nonce, sealed, None)
        except (InvalidTag, ValueError):
            raise Refused(f"chunk {index} cannot be verified: the file is damaged, cut or extended") from None
        if not following:
            return
        index, sealed = index + 1, following


def read_header(source: Hashed) -> tuple[bytes, str, bytes, int]:
    """The header's bytes; the key id, the salt and the plaintext bytes of a chunk that it names."""
    if source.read(len(MAGIC)) != MAGIC:
        raise Refused("it is not an encrypted object of format version 1")
    length = int.from_bytes(source.read(4), "big")
    header = source.read(min(length, MAX_HEADER))
    try:
        fields = json.loads(header)
        known = fields["aead"] == "AES-256-GCM" and fields["chunk"] in CHUNKS and length <= MAX_HEADER
        salt, key_id = base64.b64decode(fields["salt"], validate=True), str(fields["key_id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("its header is damaged") from None
    if not known:
        raise Refused("its header asks for what this script does not know")
    return header, key_id, salt, fields["chunk"]


if __name__ == "__main__":
    sys.exit(main())
