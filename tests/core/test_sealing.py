"""The promises of system encryption: sealed values open only with their key, in their place, whole."""

from __future__ import annotations

import base64

import pytest

from core.errors import EncryptionError, WrongKey
from core.sealing import EncryptionKey, EncryptionKeys, is_sealed

PLACE = "dbackup-postgresql/password"


@pytest.fixture
def keys() -> EncryptionKeys:
    return EncryptionKeys((EncryptionKey.generate(),))


def test_a_sealed_value_opens_in_its_place(keys: EncryptionKeys) -> None:
    sealed = keys.seal("tänze & 'quotes'", PLACE)
    assert is_sealed(sealed)
    assert sealed.startswith(f"sealed:v1:{keys.current.key_id}:")
    assert keys.unseal(sealed, PLACE) == "tänze & 'quotes'"


def test_sealing_twice_gives_two_values(keys: EncryptionKeys) -> None:
    assert keys.seal("same", PLACE) != keys.seal("same", PLACE)


def test_a_value_moved_to_another_place_does_not_open(keys: EncryptionKeys) -> None:
    with pytest.raises(EncryptionError, match="damaged or was moved"):
        keys.unseal(keys.seal("secret", PLACE), "dbackup-postgresql/user")


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_one_changed_byte_is_noticed(keys: EncryptionKeys, position: int) -> None:
    head, _, body = keys.seal("secret", PLACE).rpartition(":")
    data = bytearray(base64.b64decode(body))
    data[position] ^= 1
    with pytest.raises(EncryptionError, match="damaged"):
        keys.unseal(f"{head}:{base64.b64encode(data).decode()}", PLACE)


def test_another_key_is_named_and_old_keys_go_on_opening(keys: EncryptionKeys) -> None:
    sealed = keys.seal("secret", PLACE)
    new = EncryptionKey.generate()
    with pytest.raises(WrongKey, match=keys.current.key_id):
        EncryptionKeys((new,)).unseal(sealed, PLACE)
    assert EncryptionKeys((new, keys.current)).unseal(sealed, PLACE) == "secret"


@pytest.mark.parametrize("text", ["", " \n", "too short", "zz" * 32, "00" * 31, base64.b64encode(bytes(16)).decode()])
def test_a_malformed_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(EncryptionError) as caught:
        EncryptionKeys.parse(text)
    assert not text.strip() or text not in str(caught.value)
    assert "secrets.token_hex(32)" in caught.value.hint


def test_keys_are_read_as_hex_and_as_base64() -> None:
    raw = bytes(range(32))
    parsed = EncryptionKeys.parse(f"{raw.hex()},\n{base64.b64encode(raw[::-1]).decode()}\n")
    assert [key.key for key in parsed.keys] == [raw, raw[::-1]]
    assert raw.hex() not in repr(parsed)
