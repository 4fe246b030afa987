"""Backups of format version 1 open for ever, and each way to damage one fails with its own error."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import pytest

from core.compression import decompress
from core.container import Keyring, ProfileKey, read_header, seal, unseal
from core.errors import (
    DamagedChunk,
    DamagedData,
    DamagedHeader,
    DamagedManifest,
    DBackupError,
    MisplacedChunk,
    TamperedManifest,
    TrailingData,
    TruncatedObject,
    UnsupportedFormat,
    WrongKey,
)
from core.manifest import Manifest, authenticate
from core.naming import MANIFEST, instance_name, parse_key
from core.streams import Digest
from tests.core.chopping import chopped, collected

GOLDEN = Path(__file__).parent.parent / "golden" / "v1"
GOOD = sorted(path.name for path in (GOLDEN / "good").iterdir())
DAMAGED: dict[str, type[DBackupError]] = {
    "header-changed": DamagedHeader,
    "chunk-changed": DamagedChunk,
    "first-chunk-changed": DamagedChunk,
    "tag-changed": DamagedChunk,
    "last-chunk-missing": TruncatedObject,
    "cut-within-a-chunk": TruncatedObject,
    "cut-within-the-header": TruncatedObject,
    "bytes-after-the-end": TrailingData,
    "chunks-swapped": MisplacedChunk,
    "newer-version": UnsupportedFormat,
    "wrong-key": WrongKey,
    "manifest-tampered": TamperedManifest,
    "manifest-unsigned": TamperedManifest,
    "manifest-cut": DamagedManifest,
    "manifest-newer": UnsupportedFormat,
    "zstd-cut": TruncatedObject,
    "zstd-changed": DamagedData,
    "zstd-extended": TrailingData,
    "gzip-cut": TruncatedObject,
    "gzip-changed": DamagedData,
    "gzip-extended": TrailingData,
}
OF_THE_MANIFEST = {"wrong-key"} | {name for name in DAMAGED if name.startswith("manifest")}


def keyring() -> Keyring:
    entries = json.loads((GOLDEN / "keys.json").read_text())
    keys = [ProfileKey(entry["profile"], base64.b64decode(entry["key"])) for entry in entries]
    return {key.key_id: key for key in keys}


def folder_of(kind: str, name: str) -> Path:
    [manifest] = (GOLDEN / kind / name).rglob(MANIFEST)
    return manifest.parent


def object_of(folder: Path) -> Path:
    [path] = (path for path in folder.iterdir() if path.name != MANIFEST)
    return path


def dump_of(folder: Path, manifest: Manifest) -> bytes:
    [file] = manifest.files
    unsealing = [unseal(keyring())] if file.encryption else []
    stored = (folder / file.name).read_bytes()
    return collected(chopped(stored, [5, 1000, 1, 2000]), *unsealing, decompress(file.compression))


@pytest.mark.parametrize("name", GOOD)
def test_a_golden_backup_opens(name: str) -> None:
    folder = folder_of("good", name)
    written = (folder / MANIFEST).read_bytes()
    authenticate(written, keyring())
    manifest = Manifest.parse(written)
    collected([object_of(folder).read_bytes()], digest := Digest())
    assert (digest.size, digest.sha256) == (manifest.files[0].size, manifest.files[0].sha256)
    dump = dump_of(folder, manifest)
    assert dump == (GOLDEN / "shop.db").read_bytes()
    assert len(dump) == manifest.files[0].dump_size


def test_the_golden_dump_is_the_database_its_manifest_describes(tmp_path: Path) -> None:
    folder = folder_of("good", "sealed-zstd")
    manifest = Manifest.parse((folder / MANIFEST).read_bytes())
    path = tmp_path / "shop.db"
    path.write_bytes(dump_of(folder, manifest))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT count(*) FROM goods").fetchone()[0]
    connection.close()
    contents = manifest.files[0].contents
    assert contents is not None
    assert contents.rows == {"goods": rows}


def test_a_golden_object_of_several_databases_says_which() -> None:
    [file] = Manifest.parse((folder_of("good", "sealed-instance") / MANIFEST).read_bytes()).files
    assert (file.database, file.holds, file.label) == ("", ("ledger", "shop"), "all databases")
    assert file.name == instance_name("archive", "", encrypted=True)


@pytest.mark.parametrize("name", GOOD)
def test_golden_names_are_the_names_of_today(name: str) -> None:
    folder = folder_of("good", name)
    for path in folder.iterdir():
        assert parse_key(path.relative_to(GOLDEN / "good" / name).as_posix()) is not None


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("sealed")])
def test_the_writer_of_today_makes_the_golden_bytes(name: str) -> None:
    stored = object_of(folder_of("good", name)).read_bytes()
    header = read_header([stored])
    keys = keyring()
    compressed = collected([stored], unseal(keys))
    again = seal(keys[header.key_id], header.compression, salt=header.salt, chunk_size=header.chunk)
    assert collected(chopped(compressed, [7, 700]), again) == stored


@pytest.mark.parametrize("name", DAMAGED)
def test_each_kind_of_damage_fails_with_its_own_error(name: str) -> None:
    folder = folder_of("damaged", name)
    with pytest.raises(DBackupError) as failed:
        written = (folder / MANIFEST).read_bytes()
        authenticate(written, keyring())
        dump_of(folder, Manifest.parse(written))
    assert type(failed.value) is DAMAGED[name]
    assert failed.value.message
    assert failed.value.hint


def test_a_wrong_key_is_noticed_from_the_object_alone() -> None:
    stored = object_of(folder_of("damaged", "wrong-key")).read_bytes()
    with pytest.raises(WrongKey):
        collected([stored], unseal(keyring()))


@pytest.mark.parametrize("name", sorted(DAMAGED.keys() - OF_THE_MANIFEST))
def test_damage_to_an_object_leaves_its_manifest_genuine(name: str) -> None:
    authenticate((folder_of("damaged", name) / MANIFEST).read_bytes(), keyring())


def test_every_damaged_twin_is_expected_to_fail() -> None:
    assert {path.name for path in (GOLDEN / "damaged").iterdir()} == DAMAGED.keys()
