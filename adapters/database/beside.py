"""What the engines have in common that load a database beside its target: its name, its end, and a refusal."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from core.errors import DBackupError, TargetExists


def beside(name: str, mark: str, limit: int, size: Callable[[str], int] = len) -> str:
    """A free name beside ``name`` that says whose it is, of at most ``limit`` characters, or of what ``size`` counts.

    It is cut here, for some servers cut in silence.
    """
    ending = f"__{mark}_{secrets.token_hex(4)}"
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
