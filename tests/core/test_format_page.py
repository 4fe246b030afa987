"""The worked example of the documentation is what the program does."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from core.compression import Algorithm
from core.container import Header, ProfileKey, seal, unseal
from tests.core.chopping import collected

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
KEY = ProfileKey("example", bytes(range(32)))
PLAIN = b"hello, backup\n"


def value(name: str) -> str:
    found = re.search(rf"^{re.escape(name)} +([0-9a-f]+)", PAGE, re.MULTILINE)
    assert found, f"{name} is not in the worked example"
    return found[1]


def test_the_worked_example_holds() -> None:
    salt = bytes.fromhex(value("salt"))
    header = Header(KEY.key_id, "example", Algorithm.NONE, salt).to_bytes()
    digest = hashlib.sha256(header).digest()
    assert (value("K"), value("key_id"), value("plaintext")) == (KEY.key.hex(), KEY.key_id, PLAIN.hex())
    assert header.decode() in PAGE
    assert value("SHA-256(header)") == digest.hex()
    assert value("file key") == KEY.derive(salt, b"dbackup/v1/file" + digest).hex()
    sealed = bytes.fromhex("444241434b555001000000a1") + header + bytes.fromhex(value("sealed chunk"))
    assert len(sealed) == 203
    assert collected([PLAIN], seal(KEY, Algorithm.NONE, salt=salt)) == sealed
    assert collected([sealed], unseal({KEY.key_id: KEY})) == PLAIN


def test_the_example_of_the_manifest_s_key_holds() -> None:
    assert f"\n{KEY.derive(b'20261122T030000Z-7f3a9c', b'dbackup/v1/manifest').hex()}\n" in PAGE
