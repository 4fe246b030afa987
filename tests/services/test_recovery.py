"""Keys that are brought back from a file: from a kit or its keys.json, and from nothing that only looks like one."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from core.container import ProfileKey
from core.errors import ConfigurationError, EncryptionError
from services import recovery

KEYS = [ProfileKey.generate("production"), ProfileKey.generate("archive")]


def zipped(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


def test_a_kit_and_the_keys_out_of_it_give_the_same_keys() -> None:
    kit = recovery.kit(KEYS)
    with zipfile.ZipFile(io.BytesIO(kit)) as archive:
        alone = archive.read(recovery.KEYS)
    assert recovery.keys_in(kit, "kit.zip") == recovery.keys_in(alone, "keys.json") == KEYS


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff\xfe",
        zipped("other.json", b"[]"),
        zipped(recovery.KEYS, b"[" + b" " * (64 << 20) + b"]"),
        b" " * (recovery.LARGEST + 1),
        recovery.kit(KEYS)[:-40],
    ],
    ids=["empty", "binary", "another zip", "a zip bomb", "too large", "cut"],
)
def test_what_is_no_kit_is_refused(written: bytes) -> None:
    with pytest.raises((ConfigurationError, EncryptionError)):
        recovery.keys_in(written, "upload")


def test_a_key_that_was_changed_is_refused_and_not_repeated() -> None:
    (first, *_) = json.loads(zipfile.ZipFile(io.BytesIO(recovery.kit(KEYS))).read(recovery.KEYS))
    first["key"] = "A" * 43 + "="
    with pytest.raises(EncryptionError) as refused:
        recovery.keys_in(json.dumps([first]).encode(), "upload")
    assert first["key"] not in str(refused.value)
