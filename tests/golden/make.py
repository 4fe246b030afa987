"""Made the golden backups of format version 1, and their damaged twins, once.

    python -m tests.golden.make FOLDER

The files in ``v1`` are never made again: they stand for the backups that people already have, which every later
version must open. What joins the format without changing it, as an object of several databases did, joins them. A new
format gets a script and a folder of its own. The keys here protect nothing.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core import naming
from core.compression import Compression, compress
from core.container import ProfileKey, seal
from core.manifest import Contents, FileEncryption, JobReference, Manifest, ManifestFile, SourceDescription
from core.streams import Digest, through

KEY = ProfileKey("production", bytes(range(32)))
LOST_KEY = ProfileKey("lost", bytes(range(32, 64)))
SMALL_CHUNK = 1024  # bytes, so that small files have several chunks
STARTED = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SLUG = naming.job_slug("Nightly shop", "golden")

Damage = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Recipe:
    """One backup: how it is compressed and sealed, and what happens to its object and its manifest afterwards."""

    name: str
    compression: str = "none"
    key: ProfileKey | None = KEY
    chunk_size: int = SMALL_CHUNK
    damage: Damage = bytes
    tamper: Damage = bytes
    databases: tuple[str, ...] = ()  # of an object that holds several; what is in it does not matter here


def chunks_of(sealed: bytes) -> tuple[bytes, list[bytes]]:
    """The header of an encrypted object, and its sealed chunks."""
    start, step = 12 + int.from_bytes(sealed[8:12], "big"), SMALL_CHUNK + 16
    return sealed[:start], [sealed[at : at + step] for at in range(start, len(sealed), step)]


def flip(place: Callable[[bytes], int]) -> Damage:
    """Change one bit of the byte at this place."""

    def damage(data: bytes) -> bytes:
        at = place(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return damage


def swap(data: bytes) -> bytes:
    """Let the second and the third chunk change places."""
    header, chunks = chunks_of(data)
    return b"".join([header, chunks[0], chunks[2], chunks[1], *chunks[3:]])


def chunk_start(data: bytes, index: int) -> int:
    """Where a sealed chunk starts."""
    return len(chunks_of(data)[0]) + index * (SMALL_CHUNK + 16)


GOOD = (
    Recipe("plain-none", key=None),
    Recipe("plain-zstd", "zstd:3", key=None),
    Recipe("plain-gzip", "gzip:6", key=None),
    Recipe("sealed-none"),
    Recipe("sealed-zstd", "zstd:3", chunk_size=1 << 20),
    Recipe("sealed-gzip", "gzip:6", chunk_size=1 << 20),
    Recipe("sealed-instance", databases=("ledger", "shop")),
)
DAMAGED = (
    Recipe("header-changed", damage=flip(lambda data: data.index(b'"salt":"') + 10)),
    Recipe("chunk-changed", damage=flip(lambda data: chunk_start(data, 1) + 500)),
    Recipe("first-chunk-changed", damage=flip(lambda data: chunk_start(data, 0))),
    Recipe("tag-changed", damage=flip(lambda data: chunk_start(data, 2) - 1)),
    Recipe("last-chunk-missing", damage=lambda data: data[: chunk_start(data, len(chunks_of(data)[1]) - 1)]),
    Recipe("cut-within-a-chunk", damage=lambda data: data[: chunk_start(data, 2) + 300]),
    Recipe("cut-within-the-header", damage=lambda data: data[:100]),
    Recipe("bytes-after-the-end", damage=lambda data: data + b"another"),
    Recipe("chunks-swapped", damage=swap),
    Recipe("newer-version", damage=lambda data: data[:7] + b"\x02" + data[8:]),
    Recipe("wrong-key", key=LOST_KEY),
    Recipe("manifest-tampered", tamper=lambda data: data.replace(b'"goods":40', b'"goods":39')),
    Recipe("manifest-unsigned", tamper=lambda data: data[: data.index(b'"mac"')] + data[data.index(b'"source"') :]),
    Recipe("manifest-cut", tamper=lambda data: data[:-20]),
    Recipe("manifest-newer", tamper=lambda data: data.replace(b'"format":1', b'"format":2')),
    Recipe("zstd-cut", "zstd:3", key=None, damage=lambda data: data[:-100]),
    Recipe("zstd-changed", "zstd:3", key=None, damage=flip(lambda data: len(data) - 1)),
    Recipe("zstd-extended", "zstd:3", key=None, damage=lambda data: data + b"another"),
    Recipe("gzip-cut", "gzip:6", key=None, damage=lambda data: data[:-100]),
    Recipe("gzip-changed", "gzip:6", key=None, damage=flip(lambda data: len(data) - 8)),
    Recipe("gzip-extended", "gzip:6", key=None, damage=lambda data: data + b"\n"),
)


def make_database() -> bytes:
    """A small shop in a SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.db"
        connection = sqlite3.connect(path)
        connection.executescript("PRAGMA page_size = 512; CREATE TABLE goods (id INTEGER PRIMARY KEY, name, price)")
        rows = [(number, f"Ware no. {number} — grün & süß " * 2, number * 1.25) for number in range(1, 41)]
        connection.executemany("INSERT INTO goods VALUES (?, ?, ?)", rows)
        connection.commit()
        connection.close()
        return path.read_bytes()


def make_backup(folder: Path, number: int, recipe: Recipe, dump: bytes) -> None:
    """Write one backup with its manifest, damaged as the recipe says."""
    compression = Compression.parse(recipe.compression)
    stages, digest = [compress(compression)], Digest()
    if recipe.key:
        salt = bytes([number]) * 32
        stages.append(seal(recipe.key, compression.algorithm, salt=salt, chunk_size=recipe.chunk_size))
    stored = b"".join(bytes(chunk) for chunk in through([dump], *stages, digest))
    backup_id = f"20261122T030000Z-{number:06x}"
    sealed = recipe.key is not None
    file = ManifestFile(
        name=naming.instance_name("archive", compression.suffix, encrypted=sealed)
        if recipe.databases
        else naming.object_name("shop", "db", compression.suffix, encrypted=sealed),
        database="" if recipe.databases else "shop",
        kind="database",
        dump_format="sqlite",
        compression=compression.algorithm,
        encryption=FileEncryption(profile=recipe.key.profile, key_id=recipe.key.key_id) if recipe.key else None,
        size=digest.size,
        sha256=digest.sha256,
        dump_size=len(dump),
        contents=Contents(tables=1, rows={"goods": 40}),
        databases={name: Contents(tables=1, rows={"goods": 40}) for name in recipe.databases},
    )
    manifest = Manifest(
        backup_id=backup_id,
        job=JobReference(id="golden", name="Nightly shop"),
        source=SourceDescription(name="shop", engine="sqlite", server_version="3.40.1", tool="sqlite3 3.40.1"),
        trigger="schedule",
        started_at=STARTED,
        finished_at=STARTED,
        files=(file,),
    )
    target = folder / recipe.name / naming.backup_folder(SLUG, backup_id)
    target.mkdir(parents=True)
    (target / file.name).write_bytes(recipe.damage(stored))
    (target / naming.MANIFEST).write_bytes(recipe.tamper(manifest.to_bytes(recipe.key)))


def main(folder: Path) -> None:
    """Make everything in a new folder."""
    dump = make_database()
    for number, recipe in enumerate(GOOD, start=1):
        make_backup(folder / "good", number, recipe, dump)
    for number, recipe in enumerate(DAMAGED, start=101):
        make_backup(folder / "damaged", number, recipe, dump)
    (folder / "shop.db").write_bytes(dump)
    key = {"profile": KEY.profile, "key_id": KEY.key_id, "key": base64.b64encode(KEY.key).decode()}
    (folder / "keys.json").write_text(json.dumps([key], indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
