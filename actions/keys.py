"""Encryption profiles: create, list, rotate, the recovery kit, import."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from actions.door import Identity, action
from blocks.encryption_key import encryption_keys
from blocks.private_files import held_alone
from core import words
from core.container import ProfileKey
from core.errors import PermissionError
from core.permissions import Permission
from core.settings import settings
from services import recovery
from services.accounts import login, second_factor
from services.accounts.sessions import Client
from services.records import database


@dataclass(frozen=True)
class Profile:
    """A profile and the ids of its keys, newest first."""

    name: str
    key_ids: tuple[str, ...]


@action(Permission.VAULT_WRITE)
def create(who: Identity, name: str) -> Profile:
    """Make a profile with a new key. Raises ConfigurationError when the name is taken."""
    return _save(name, (ProfileKey.generate(name),))


@action(Permission.VAULT_READ)
def profiles(who: Identity) -> list[Profile]:
    """Every profile."""
    from blocks.saved import profiles as saved

    return [_described(name, profile.open(name)) for name, profile in saved().items()]


@action(Permission.VAULT_WRITE)
def rotate(who: Identity, name: str) -> Profile:
    """Give a profile a new key for new backups; the old ones go on opening theirs."""
    from blocks.addresses import profile_keys

    with _alone():
        return _save(name, (ProfileKey.generate(name), *profile_keys(name)), replace=True)


@action(Permission.VAULT_REVEAL)
def recovery_kit(who: Identity, names: tuple[str, ...], path: Path) -> list[Profile]:
    """Write a kit with the keys of these profiles (none named: of all). Raises ConfigurationError, never overwrites."""
    keys = _keys_of(names)
    recovery.write_kit(path, [key for one in keys.values() for key in one])
    return [_described(name, one) for name, one in keys.items()]


@action(Permission.VAULT_REVEAL, target=lambda names, _: ", ".join(names) or "every profile")
def revealed_kit(who: Identity, names: tuple[str, ...], password: SecretStr) -> bytes:
    """A kit with the keys of these profiles (none named: of all), for who proves once more to know their password.

    Raises AuthenticationError or TooManyAttempts for a wrong one, and PermissionError for a token.
    """
    if who.session_id is None:
        raise PermissionError("a recovery kit is for people who are logged in", hint="log in to the dashboard")
    login.require_password(database(), who.name, password, Client(who.origin), datetime.now(UTC))
    return recovery.kit([key for one in _keys_of(names).values() for key in one])


def _keys_of(names: tuple[str, ...]) -> dict[str, tuple[ProfileKey, ...]]:
    """Every key of these profiles, or of all."""
    from blocks.saved import load_profile
    from blocks.saved import profiles as saved

    chosen = {name: load_profile(name) for name in names} or saved()
    return {name: profile.open(name) for name, profile in chosen.items()}


@action(Permission.VAULT_WRITE)
def import_keys(who: Identity, path: Path) -> list[Profile]:
    """Bring back the keys of a recovery kit or its keys.json; keys that are here already stay as they are."""
    return _import(recovery.read_keys(path))


@action(Permission.VAULT_WRITE, target=lambda name, _: name)
def import_uploaded(who: Identity, name: str, written: bytes) -> list[Profile]:
    """Bring back the keys in the bytes of such a file, which is called ``name``."""
    return _import(recovery.keys_in(written, name))


def _import(keys: Iterable[ProfileKey]) -> list[Profile]:
    from blocks.saved import profiles as saved

    brought: dict[str, list[ProfileKey]] = {}
    for key in keys:
        brought.setdefault(key.profile, []).append(key)
    with _alone():
        here = {name: profile.open(name) for name, profile in saved().items()}
        return [_merge(name, here.get(name, ()), keys) for name, keys in brought.items()]


@action(Permission.VAULT_WRITE)
def reseal(who: Identity) -> list[str]:
    """Seal everything that is saved under the current ENCRYPTION_KEY, and name what was not.

    Cut in the middle, some is sealed with the old key and some with the new one, both of which open; running it again
    does the rest. Raises WrongKey for what none of the keys opens; then nothing is changed.
    """
    from blocks.embedded import reseal_block_key
    from blocks.saved import Kind, everything, save

    with _alone():
        found = [(kind, name, block.resealed()) for kind in Kind for name, block in everything(kind).items()]
        for kind, name, block in found:
            if block is not None:
                save(kind, name, block, replace=True)
        done = [f"{kind} {name}" for kind, name, block in found if block is not None]
        factors = second_factor.reseal(database(), encryption_keys())
        return [
            *done,
            *([words.count(factors, "second factor")] if factors else []),
            *(["Prefect's own key"] if reseal_block_key(settings()) else []),
        ]


def _alone() -> AbstractContextManager[None]:
    """Keys are read, added to and saved again: two at once on one machine must not undo each other."""
    settings().home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return held_alone(settings().home / "keys.lock")


def _merge(name: str, here: tuple[ProfileKey, ...], brought: list[ProfileKey]) -> Profile:
    """Add what is missing. A kit that knows our current key also knows whether newer ones came after it."""
    known, ids = {key.key_id for key in here}, [key.key_id for key in brought]
    new = tuple(key for key in brought if key.key_id not in known)
    if not new:
        return _described(name, here)
    newer = new if here and here[0].key_id in ids[1:] else ()
    older = tuple(key for key in new if key not in newer)
    return _save(name, (*newer, *here, *older), replace=bool(here))


def _save(name: str, keys: tuple[ProfileKey, ...], *, replace: bool = False) -> Profile:
    from blocks.profiles import EncryptionProfile
    from blocks.saved import Kind, save

    save(Kind.PROFILE, name, EncryptionProfile.of(keys), replace=replace)
    return _described(name, keys)


def _described(name: str, keys: tuple[ProfileKey, ...]) -> Profile:
    return Profile(name, tuple(key.key_id for key in keys))
