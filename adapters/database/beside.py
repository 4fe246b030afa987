"""What the engines have in common that load a database beside its target: its name, its end, and a refusal."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from core.errors import AdapterError, DBackupError, TargetExists
from core.unfinished import UnfinishedDatabase


def beside(name: str, mark: str, limit: int, size: Callable[[str], int] = len, token: str = "") -> str:
    """A free name beside ``name`` that says whose it is, of at most ``limit`` characters, or of what ``size`` counts.

    It is cut here, for some servers cut in silence. It ends with ``token``, eight hexadecimal digits, or new ones.
    """
    ending = f"__{mark}_{token or secrets.token_hex(4)}"
    while size(name + ending) > limit:
        name = name[:-1]
    return name + ending


def in_bytes(name: str) -> int:
    """The size of a name in UTF-8."""
    return len(name.encode())


def drop_unfinished(name: str, drop: Callable[[], None], failure: object) -> None:
    """Drop what a restoration has made in vain. When that fails, too, the ``failure`` that was first tells of it."""
    try:
        drop()
    except DBackupError as leftover:
        if not isinstance(failure, BaseException):
            raise
        failure.add_note(f"The unfinished database '{name}' could not be dropped: {leftover}")


def target_exists(name: str) -> TargetExists:
    """The refusal to restore over a database unasked."""
    return TargetExists(
        f"a database named '{name}' exists already",
        hint="give --overwrite to replace it, or --as NEWNAME to restore beside it",
    )


def require_droppable(name: str, found: Iterable[UnfinishedDatabase]) -> UnfinishedDatabase:
    """The one of this name, if it may be dropped. Raises AdapterError."""
    one = next((one for one in found if one.name == name), None)
    if one is None or one.mark is None:
        raise AdapterError(
            f"nothing proves that '{name}' was made by a restore", hint="if you know that it was, drop it by hand"
        )
    if one.precious:
        raise AdapterError(f"'{name}' must stay: {one.precious}")
    if one.in_use:
        raise in_use(name)
    return one


def in_use(name: str) -> AdapterError:
    """The refusal to drop what somebody is using."""
    return AdapterError(
        f"'{name}' is in use, so its restore may live", hint="wait for it to end, then clean again", permanent=False
    )
