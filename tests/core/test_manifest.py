from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.compression import Algorithm
from core.container import ProfileKey
from core.errors import DamagedManifest, EncryptionError, TamperedManifest, UnsupportedFormat, WrongKey
from core.manifest import (
    MAX_SIZE,
    Contents,
    FileEncryption,
    JobReference,
    Manifest,
    ManifestFile,
    SourceDescription,
    authenticate,
    canonical,
)
from core.naming import object_name

KEY = ProfileKey("production", b"k" * 32)
KEYS = {KEY.key_id: KEY}
STARTED = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def a_file(database: str = "shop", key: ProfileKey | None = KEY, contents: Contents | None = None) -> ManifestFile:
    return ManifestFile(
        name=object_name(database, "dump", ".zst", encrypted=key is not None),
        database=database,
        kind="database",
        dump_format="pg_custom",
        compression=Algorithm.ZSTD,
        encryption=FileEncryption(profile=key.profile, key_id=key.key_id) if key else None,
        size=100,
        sha256="0" * 64,
        dump_size=1000,
        contents=contents,
    )


def a_manifest(*files: ManifestFile, job: str = "nightly shop") -> Manifest:
    return Manifest(
        backup_id="20261122T030000Z-7f3a9c",
        job=JobReference(id="1", name=job),
        source=SourceDescription(name="shop", engine="postgresql", server_version="15.20", tool="pg_dump 15.20"),
        trigger="manual",
        started_at=STARTED,
        finished_at=STARTED + timedelta(minutes=4),
        files=files,
    )


def changed(data: bytes, **fields: Any) -> bytes:
    return canonical(json.loads(data) | fields)


SIGNED = a_manifest(a_file()).to_bytes(KEY)
PLAIN = a_manifest(a_file(key=None)).to_bytes()


# --- writing and reading ----------------------------------------------------------------------------------


@given(database=TEXT, job=TEXT, rows=st.dictionaries(TEXT, st.integers(0, 1 << 62)), notes=st.lists(TEXT).map(tuple))
def test_a_manifest_is_read_as_it_was_written(
    database: str, job: str, rows: dict[str, int], notes: tuple[str, ...]
) -> None:
    contents = Contents(tables=len(rows), rows=rows, estimated=tuple(rows), notes=notes)
    manifest = a_manifest(a_file(database, contents=contents), job=job)
    data = manifest.to_bytes(KEY)
    authenticate(data, KEYS)
    assert Manifest.parse(data) == manifest


def test_the_written_form_is_canonical() -> None:
    assert canonical(json.loads(SIGNED)) == SIGNED
    assert "größe".encode() in a_manifest(job="größe").to_bytes()


def test_times_are_written_in_utc_to_the_second() -> None:
    local = STARTED.replace(microsecond=7).astimezone(timezone(timedelta(hours=9)))
    manifest = Manifest.model_validate(a_manifest().model_dump() | {"started_at": local})
    assert json.loads(manifest.to_bytes())["started_at"] == "2026-11-22T03:00:00Z"


def test_what_is_empty_is_left_out() -> None:
    fields = json.loads(a_manifest(a_file(key=None, contents=Contents(tables=0, rows={}))).to_bytes())
    assert "mac" not in fields
    assert "encryption" not in fields["files"][0]
    assert fields["files"][0]["contents"] == {"tables": 0, "rows": {}}
    assert "contents" not in json.loads(PLAIN)["files"][0]


def test_fields_that_are_not_known_are_ignored_when_reading() -> None:
    data = json.loads(PLAIN)
    data["files"][0]["colour"] = "red"
    assert Manifest.parse(canonical(data | {"comment": {"a": [1]}})) == Manifest.parse(PLAIN)


def test_whitespace_means_nothing() -> None:
    authenticate(json.dumps(json.loads(SIGNED), indent=2).encode(), KEYS)


# --- who wrote it -----------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [path] if items is None else [leaf for key, item in items for leaf in leaves(item, (*path, key))]


FIELDS = json.loads(SIGNED)


@pytest.mark.parametrize("path", leaves(FIELDS), ids=lambda path: ".".join(map(str, path)))
def test_a_change_of_any_value_is_noticed(path: tuple[Any, ...]) -> None:
    fields = json.loads(SIGNED)
    parent = fields
    for part in path[:-1]:
        parent = parent[part]
    value = parent[path[-1]]
    parent[path[-1]] = value + 1 if isinstance(value, int) else value[:-1] + ("1" if value[-1] != "1" else "2")
    with pytest.raises((TamperedManifest, DamagedManifest, UnsupportedFormat, WrongKey)):
        authenticate(canonical(fields), KEYS)


def test_every_flipped_bit_of_a_manifest_is_noticed() -> None:
    data = bytearray(SIGNED)
    for at in range(len(data)):
        data[at] ^= 1
        with pytest.raises((TamperedManifest, DamagedManifest, WrongKey)):
            authenticate(bytes(data), KEYS)
        data[at] ^= 1


def test_an_added_field_is_noticed() -> None:
    with pytest.raises(TamperedManifest):
        authenticate(changed(SIGNED, comment="hello"), KEYS)


def test_an_encrypted_backup_without_a_code_is_tampered_with() -> None:
    fields = json.loads(SIGNED)
    del fields["mac"]
    with pytest.raises(TamperedManifest):
        authenticate(canonical(fields), KEYS)


def test_a_code_that_no_key_can_have_made_is_tampered_with() -> None:
    with pytest.raises(TamperedManifest):
        authenticate(changed(PLAIN, mac="0" * 64), KEYS)
    with pytest.raises(TamperedManifest):
        authenticate(changed(SIGNED, mac=None), KEYS)


def test_files_of_two_keys_cannot_be_signed_or_believed() -> None:
    other = ProfileKey.generate("other")
    manifest = a_manifest(a_file(), a_file("stock", key=other))
    with pytest.raises(EncryptionError):
        manifest.to_bytes(KEY)
    with pytest.raises(TamperedManifest):
        fields = json.loads(SIGNED)
        fields["files"].append(json.loads(a_manifest(a_file("stock", key=other)).to_bytes(other))["files"][0])
        authenticate(canonical(fields), {**KEYS, other.key_id: other})


def test_an_encrypted_backup_cannot_be_written_without_its_key_nor_a_plain_one_with_a_key() -> None:
    with pytest.raises(EncryptionError):
        a_manifest(a_file()).to_bytes()
    with pytest.raises(EncryptionError):
        a_manifest(a_file(key=None)).to_bytes(KEY)


def test_without_the_key_nobody_can_say_who_wrote_it() -> None:
    with pytest.raises(WrongKey, match=KEY.key_id):
        authenticate(SIGNED, {})


def test_a_backup_that_is_not_encrypted_has_nothing_to_prove() -> None:
    authenticate(PLAIN, {})


# --- what is no manifest ----------------------------------------------------------------------------------


def test_a_newer_format_asks_for_a_newer_program() -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        Manifest.parse(changed(PLAIN, format=2, files="something new"))
    assert "newer" in refused.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        SIGNED[:-1],
        SIGNED + b"}",
        b'{"format":1,"format":1}',
        b'{"a":"\\ud800"}',
        b'{"a":1.5}',
        b'{"a":NaN}',
        b"[" * 100000,
        b'{"a":' + b"9" * 10000 + b"}",
        b" " * (MAX_SIZE + 1),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_cannot_be_read_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedManifest):
        Manifest.parse(data)
    with pytest.raises(DamagedManifest):
        authenticate(data, {})


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 0},
        {"format": "1"},
        {"format": True},
        {"backup_id": "../../etc"},
        {"started_at": "yesterday"},
        {"started_at": "2026-11-22T03:00:00"},
        {"trigger": "whim"},
        {"files": "none"},
        {"files": [{}]},
        {"job": None},
    ],
    ids=str,
)
def test_a_manifest_with_a_senseless_value_is_damaged(fields: dict[str, Any]) -> None:
    with pytest.raises(DamagedManifest):
        Manifest.parse(changed(PLAIN, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../../etc/passwd"},
        {"name": "/etc/passwd"},
        {"name": "a/b.dump.zst"},
        {"name": "..dump.zst"},
        {"name": ".shop.dump.zst"},
        {"name": "shop.dump"},
        {"name": "shop.dump.gz"},
        {"name": "shop.dump.zst.enc"},
        {"name": "shop.dump.zst\n"},
        {"name": "backup.lock", "compression": "none"},
        {"name": "backup.meta.json", "compression": "none"},
        {"compression": "none"},
        {"compression": "lz4"},
        {"size": -1},
        {"size": 1 << 63},
        {"size": "100"},
        {"sha256": "0" * 63},
        {"sha256": "0" * 64 + "\n"},
        {"kind": "other"},
        {"contents": {"tables": 1, "rows": {"a": -1}}},
    ],
    ids=str,
)
def test_a_file_that_no_backup_can_have_is_damage(fields: dict[str, Any]) -> None:
    data = json.loads(PLAIN)
    data["files"][0] |= fields
    with pytest.raises(DamagedManifest):
        Manifest.parse(canonical(data))


def test_two_files_with_one_name_are_damage() -> None:
    data = json.loads(PLAIN)
    with pytest.raises(DamagedManifest, match="one name"):
        Manifest.parse(changed(PLAIN, files=data["files"] * 2))


@pytest.mark.parametrize("files", [[7], [{"encryption": 7}], [{"encryption": {}}], {"encryption": 1}, 7])
def test_a_manifest_of_senseless_files_is_never_believed(files: Any) -> None:
    with pytest.raises((TamperedManifest, DamagedManifest, WrongKey)):
        authenticate(changed(SIGNED, files=files), KEYS)
