"""Giving a backup back: check what is to be restored, load it beside the target, compare, put it in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.compression import decompress
from core.container import Keyring, unseal
from core.errors import BackupNotFound, ComparisonFailed, ConfigurationError, WrongKey
from core.jobs import RestoreSpec
from core.log import logger
from core.manifest import Contents, ManifestFile
from core.ports import AdoptsFiles, DatabaseAdapter, Restoration, RestoreTarget, StorageAdapter
from core.reports import RestoredDatabase
from core.streams import Meter, Stage, through
from services import progress
from services.backups import StoredBytes
from services.downloads import discard, download
from services.stored import StoredBackup

_SHOWN = 5  # differences in one message
log = logger(service="restore")


@dataclass(frozen=True)
class Piece:
    """One database of a backup and where it is going."""

    key: str
    file: ManifestFile
    target: RestoreTarget

    def of_run(self, run: str) -> Piece:
        """The same, for the run with this id: what it makes is known by it."""
        return replace(self, target=replace(self.target, run=run))


@dataclass(frozen=True)
class Wish:
    """What a person wants of a restore, beyond the backup and the target."""

    database: str | None = None
    rename: str | None = None
    overwrite: bool = False
    owner: bool = True
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: RestoreSpec) -> Wish:
        """What a restore asks for."""
        return cls(spec.database, spec.rename, spec.overwrite, spec.owner, spec.names)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The databases that were chosen by name; none means all."""
        return tuple(self.names) or ((self.database,) if self.database else ())

    def new_name(self, dumped: str) -> str | None:
        """The new name that was asked for, or None."""
        return self.rename or self.names.get(dumped) or None


def pieces(backup: StoredBackup, adapter: DatabaseAdapter, wish: Wish) -> list[Piece]:
    """Which databases go where. Raises BackupNotFound for one that is not there, ConfigurationError for a bad wish."""
    manifest = backup.manifest
    if adapter.engine != manifest.source.engine:
        raise ConfigurationError(
            f"this is a backup of {manifest.source.engine}, and the target is {adapter.engine}",
            hint="restore it into a server of the same kind",
        )
    held = [(file, name) for file in manifest.files for name in file.holds]
    chosen = [(file, name) for file, name in held if not wish.chosen or name in wish.chosen]
    absent = set(wish.chosen).difference(name for _, name in chosen)
    if absent or not chosen:
        raise BackupNotFound(
            f"{manifest.backup_id} holds no database {min(absent, default='')!r}",
            hint=f"it holds: {', '.join(name for _, name in held)}",
        )
    if len(chosen) > 1 and wish.rename:
        raise ConfigurationError(
            f"one new name was given for {len(chosen)} databases", hint="choose one with --database NAME"
        )
    if len(chosen) > 1 and adapter.target_name(None) and not all(wish.new_name(name) for _, name in chosen):
        raise ConfigurationError(
            f"the target names one database, and the backup holds {len(chosen)}",
            hint="choose one with --database NAME, or leave the database out of the target",
        )
    if wish.chosen or wish.rename or adapter.target_name(None):
        return _distinct([_piece(backup, file, name, _name(name, adapter, wish), wish) for file, name in chosen])
    whole = [file for file in manifest.files if file.holds]
    return [_piece(backup, file, file.database, _name(file.database, adapter, wish), wish) for file in whole]


def _distinct(made: list[Piece]) -> list[Piece]:
    targets = [piece.target.database for piece in made]
    if twice := {name for name in targets if targets.count(name) > 1}:
        raise ConfigurationError(
            f"two databases would become one: {min(twice)}", hint="give each of them a new name of its own"
        )
    return made


def _name(dumped: str, adapter: DatabaseAdapter, wish: Wish) -> str:
    """The target's name: what was asked for, else what the target's address says, else the old name."""
    wanted = wish.new_name(dumped)
    named = None if wanted else adapter.target_name(None)
    return named or adapter.target_name(wanted or dumped) or dumped


def _piece(backup: StoredBackup, file: ManifestFile, dumped: str, name: str, wish: Wish) -> Piece:
    """One object, or the one database of it that is wanted."""
    target = RestoreTarget(
        name,
        wish.overwrite,
        wish.owner,
        backup.manifest.source.tool,
        file.databases.get(dumped, file.contents),
        dumped=dumped if file.databases else "",
        together=() if dumped else tuple(file.databases),
    )
    return Piece(f"{backup.folder.key}/{file.name}", file, target)


def require_keys(piece: Piece, keys: Keyring) -> None:
    """Know before a byte moves that the file can be opened. Raises WrongKey."""
    encryption = piece.file.encryption
    if encryption and encryption.key_id not in keys:
        raise WrongKey(
            f"{piece.file.name} is sealed with the key {encryption.key_id} of profile {encryption.profile!r}, "
            "which is not here",
            hint="bring the key back with: dbackup key import FILE",
        )


def fetch(storage: StorageAdapter, piece: Piece, folder: Path) -> StoredBytes:
    """The file where it can be read twice: in place on a local file system, else downloaded into a private folder.

    Raises StorageFull when the folder has no room for it, or what the storage raises.
    """
    if isinstance(storage, AdoptsFiles):
        return StoredBytes.at(storage, piece.key)
    return download(storage, piece.key, piece.file.size, folder / piece.file.name)


def forget(piece: Piece, folder: Path) -> None:
    """Remove what was downloaded of a piece, so that the next one finds room."""
    discard(folder / piece.file.name)


def load(restoration: Restoration, stored: StoredBytes, piece: Piece, keys: Keyring) -> None:
    """Bring a verified dump into the new database. Raises RestoreError or IntegrityError; the target is untouched."""
    unsealing: Sequence[Stage] = [unseal(keys)] if piece.file.encryption else []
    with progress.step(f"restore {piece.target.label}", piece.file.size) as advance:
        restoration.load(through(stored.read(), Meter(advance), *unsealing, decompress(piece.file.compression)))


def compare_and_publish(restoration: Restoration, piece: Piece) -> RestoredDatabase:
    """Compare what came back with the manifest, and only then put it in place. Raises ComparisonFailed."""
    expected = piece.target.expected
    found = restoration.contents(expected)
    if expected and (differences := list(_differences(expected, found))):
        more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise ComparisonFailed(
            f"{piece.target.label} came back different from the manifest: {'; '.join(differences[:_SHOWN])}{more}",
            hint="nothing was put in place; try another backup, and check this one with: dbackup verify",
        )
    place = restoration.publish()
    log.info("database restored", database=piece.target.label, place=place, tables=found.tables)
    return RestoredDatabase(
        database=piece.target.dumped or piece.file.label,
        restored_as=piece.target.label,
        place=place,
        tables=found.tables,
        rows=sum(found.rows.values()),
        compared=expected is not None,
        uncounted=expected.estimated if expected else (),
        notes=expected.notes if expected and piece.target.dumped else (),
        together=piece.target.together,
    )


def _differences(expected: Contents, found: Contents) -> Iterator[str]:
    if expected.tables != found.tables:
        yield f"{found.tables} tables instead of {expected.tables}"
    for table, rows in expected.rows.items():
        if table not in found.rows:
            yield f"{table} is missing"
        elif table not in expected.estimated and found.rows[table] != rows:
            yield f"{table} has {found.rows[table]:,} rows instead of {rows:,}"
    for kind, number in expected.objects.items():
        if (there := found.objects.get(kind, 0)) != number:
            yield f"{there:,} {kind} instead of {number:,}"
