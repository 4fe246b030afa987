"""What a restore would do, found out by looking: the backup, its key, the target, what lies there today, free space.

Nothing is written anywhere. What stands against the restore of one database is told with that database; what stands
against all of it is raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.folders import free_space
from core.container import Keyring
from core.errors import DBackupError, TamperedManifest, TargetExists
from core.manifest import SourceDescription
from core.ports import AdoptsFiles, DatabaseAdapter, DatabaseInfo, ServerInfo, StorageAdapter
from core.reports import Failure
from core.words import count, size
from services import restores, stored
from services.authorship import Authors
from services.restores import Piece, Wish
from services.stored import StoredBackup

_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Step:
    """What would become of one database.

    ``label`` is what it will be called, ``today`` what has that name now, its size in bytes and number of tables where
    known. ``exists`` is true when something has the name. ``problem`` stands against the restore.
    """

    dumped: str
    label: str
    dump_size: int
    tables: int | None
    rows: int | None
    exists: bool
    today: DatabaseInfo | None
    problem: Failure | None

    @property
    def sentence(self) -> str:
        """What will happen, in one sentence."""
        held = f" ({count(self.tables, 'table')}, {count(self.rows or 0, 'row')})" if self.tables is not None else ""
        if not self.exists:
            return f"{self.dumped}{held} is restored as {self.label}, which does not exist yet."
        return (
            f"{self.dumped}{held} is restored beside {self.label}, compared with the backup, and only then takes its "
            f"place; what is there today{self._size} is gone then."
        )

    @property
    def _size(self) -> str:
        if self.today is None or self.today.size is None:
            return ""
        tables = f", {count(self.today.tables, 'table')}" if self.today.tables is not None else ""
        return f" ({size(self.today.size)}{tables})"


@dataclass(frozen=True)
class RestorePlan:
    """What a restore would do. Sizes in bytes.

    ``needed`` is what is downloaded at once before it is used, into a folder with ``free`` bytes; 0 where the files can
    be read in place. ``remarks`` are what a person should know before.
    """

    backup_id: str
    source: SourceDescription
    target: str
    server: ServerInfo
    steps: tuple[Step, ...]
    needed: int
    free: int
    remarks: tuple[str, ...]

    @property
    def overwritten(self) -> tuple[str, ...]:
        """What exists and would be replaced."""
        return tuple(step.label for step in self.steps if step.exists)

    @property
    def is_possible(self) -> bool:
        """Whether nothing that can be known stands against it."""
        return self.needed <= self.free and not any(step.problem for step in self.steps)


@dataclass(frozen=True)
class Place:
    """Where a backup lies, where it goes, and the folder for what has to be downloaded."""

    storage: StorageAdapter
    target: DatabaseAdapter
    scratch: Path


def plan(place: Place, reference: str, wish: Wish, keys: Keyring, *, accept_tampered: bool = False) -> RestorePlan:
    """Look at everything. Raises what a restore would raise before a byte moves, but for what concerns one database."""
    backup = stored.resolve(place.storage, reference)
    pieces = restores.pieces(backup, place.target, replace(wish, overwrite=True))
    for piece in pieces:
        restores.require_keys(piece, keys)
    doubts = _doubts(place.storage, backup, keys, accepted=accept_tampered)
    server = place.target.probe()
    there = _there(place.target)
    manifest = backup.manifest
    return RestorePlan(
        backup_id=manifest.backup_id,
        source=manifest.source,
        target=place.target.describe(),
        server=server,
        steps=tuple(_step(place.target, piece, there) for piece in pieces),
        needed=0 if isinstance(place.storage, AdoptsFiles) else max(piece.file.size for piece in pieces),
        free=free_space(_existing(place.scratch)),
        remarks=(*doubts, *_remarks(manifest.source, server, manifest.missing)),
    )


def _doubts(storage: StorageAdapter, backup: StoredBackup, keys: Keyring, *, accepted: bool) -> tuple[str, ...]:
    """Why the backup may not be genuine, where that was accepted. Raises TamperedManifest."""
    try:
        Authors(storage).require(backup, keys)
    except TamperedManifest as error:
        if not accepted:
            raise
        return (f"The backup may not be genuine, and you accept that: {error.message}.",)
    return ()


def _there(target: DatabaseAdapter) -> Mapping[str, DatabaseInfo]:
    """What the target has today, by the name that a restore would give it."""
    return {target.target_name(info.name) or info.name: info for info in target.databases()}


def _step(target: DatabaseAdapter, piece: Piece, there: Mapping[str, DatabaseInfo]) -> Step:
    expected, label = piece.target.expected, piece.target.label
    return Step(
        dumped=piece.target.dumped or piece.file.label,
        label=label,
        dump_size=piece.file.dump_size,
        tables=expected.tables if expected else None,
        rows=sum(expected.rows.values()) if expected else None,
        exists=_exists(target, piece),
        today=there.get(piece.target.database),
        problem=_problem(target, piece),
    )


def _exists(target: DatabaseAdapter, piece: Piece) -> bool:
    """Whether something has the name: a restore that must not overwrite would be refused for it."""
    try:
        target.check_restore(replace(piece.target, overwrite=False))
    except TargetExists:
        return True
    except DBackupError:  # it is told as what stands against it
        return False
    return False


def _problem(target: DatabaseAdapter, piece: Piece) -> Failure | None:
    try:
        target.check_restore(piece.target)
    except DBackupError as error:
        return Failure.of(piece.target.label, error)
    return None


def _remarks(source: SourceDescription, server: ServerInfo, missing: tuple[str, ...]) -> list[str]:
    remarks = []
    if _numbers(server.version)[:1] < _numbers(source.server_version)[:1]:
        remarks.append(
            f"The target is {server.engine} {server.version}, older than the {source.server_version} that was backed "
            "up: it may refuse what only the newer one knows."
        )
    if missing:
        remarks.append(f"The backup was partial when it was taken, and never held: {', '.join(missing)}.")
    return remarks


def _numbers(version: str) -> list[int]:
    return [int(number) for number in _NUMBERS.findall(version)]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there already."""
    return next(one for one in (folder, *folder.parents) if one.exists())
