"""The steps of a backup: initialize, dump, upload, verify and commit, retain, complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blocks.addresses import clear, keyring, open_source, open_storage, profile_key
from core.errors import ConfigurationError, DBackupError, StorageError
from core.jobs import Address, JobSpec
from core.log import logger
from core.manifest import Manifest, ManifestFile, Trigger
from core.ports import AdoptsFiles
from core.reports import Failure, Retained, StoredCopy
from core.settings import settings
from services import backups, retention
from services.backups import Item, Plan
from services.candidates import Series
from services.destinations import Destination
from services.memory_spool import MemorySpool
from services.records import catalog
from services.spool import Spool, SpoolReader
from services.workspace import held, sweep, workspace
from tasks.bookkeeping import note_crashed
from tasks.step import step

log = logger(service="backup")


@dataclass(frozen=True)
class Prepared:
    """What is going to happen, where to, and the folder in which the run's spools lie.

    ``unusable`` are the destinations that cannot take anything today.
    """

    plan: Plan
    destinations: tuple[Destination, ...]
    unusable: tuple[StoredCopy, ...]
    spools: Path


@step("initialize")
def initialize(job: JobSpec, trigger: Trigger) -> Plan:
    """Open the blocks, connect to the source, and decide what is going to be dumped."""
    plan = backups.plan(job, open_source(job.source), profile_key(job.profile), trigger)
    log.info("backup planned", backup=plan.backup_id, databases=len(plan.databases), engine=plan.source.engine)
    return plan


@step("connect", "connect {name}")
def connect(plan: Plan, address: Address, name: str) -> Destination:
    """Open a destination, and let it prove that it can take the backup. Raises what keeps it from that."""
    destination = _proven(address)
    backups.require_room(plan, destination.storage.free_space(), destination.name)
    return destination


def prepared(plan: Plan, opened: Sequence[Destination | StoredCopy]) -> Prepared:
    """Everything is connected. A destination that cannot take the backup does not keep it from the others.

    Raises its error when none can, and ConfigurationError when two are one and the same place.
    """
    usable = tuple(one for one in opened if isinstance(one, Destination))
    unusable = tuple(one for one in opened if isinstance(one, StoredCopy))
    if not usable:
        raise StorageError(str(unusable[0].failure), hint=unusable[0].failure.hint if unusable[0].failure else "")
    if len({one.storage.identity() for one in usable}) < len(usable):
        raise ConfigurationError(
            "two of the destinations are one and the same place", hint="name each place once, by whatever name or path"
        )
    parent = _spools_beside(usable) or settings().runs
    return Prepared(plan, usable, unusable, parent / plan.backup_id)


def open_destination(address: Address) -> Destination | StoredCopy:
    """A destination that has proven that it can be written, or why it cannot."""
    try:
        return _proven(address)
    except DBackupError as error:
        return unusable(name_of(address), error)


def _proven(address: Address) -> Destination:
    storage = open_storage(address)
    storage.check()
    return Destination(str(address) if address.is_name else storage.describe(), storage)


def unusable(name: str, error: DBackupError) -> StoredCopy:
    """What a report says of a destination that could not be used."""
    log.error("destination cannot be used", storage=name, reason=error.message)
    return StoredCopy(storage=name, complete=False, failure=Failure.of(name, error))


def name_of(address: Address) -> str:
    """What people call a destination, as far as it can be known without connecting to it."""
    name = str(address) if address.is_name else "a destination"
    with suppress(DBackupError):
        if not address.is_name:
            name = f"the {clear(address).partition(':')[0]}:// destination"
            name = open_storage(address).describe()
    return name


def _spools_beside(destinations: Sequence[Destination]) -> Path | None:
    """Where a spool can be published by a link: in the staging folder of the first local destination."""
    staging = (one.storage.staging() for one in destinations if isinstance(one.storage, AdoptsFiles))
    return next(staging, None)


@contextmanager
def alone(prepared: Prepared) -> Iterator[None]:
    """Within this context no other run of the same job goes on, on this machine. Raises BackupError at once."""
    if not prepared.plan.spec.name:
        yield
        return
    with held(settings().home / "jobs", prepared.plan.slug, prepared.plan.job.name):
        yield


@contextmanager
def folders(prepared: Prepared) -> Iterator[tuple[Path, Path]]:
    """The run's folder for its spools, and one on this machine for what an engine must write in clear.

    What dead runs have left beside them is removed first.
    """
    parents = {prepared.spools.parent: None, settings().runs: None}
    for run_id in (run_id for parent in parents for run_id in sweep(parent)):
        note_crashed(run_id)
    with ExitStack() as stack:
        made = [stack.enter_context(workspace(parent, prepared.spools.name)) for parent in parents]
        yield made[0], made[-1]


@step("dump", "dump {item.label}")
def dump(plan: Plan, item: Item, spool: Spool | MemorySpool) -> ManifestFile:
    """Dump one item. Whatever goes wrong, the uploads that follow the spool are told at once."""
    with ExitStack() as stack:
        stack.callback(spool.abort)  # does nothing once the spool is finished
        return backups.dump(plan, item, spool)


@step("upload", "upload {item.label} → {destination.name}")
def upload(plan: Plan, item: Item, spool: SpoolReader, destination: Destination) -> None:
    """Bring one item to one destination, beside its dump, as soon as it is its turn there."""
    with destination.turns:
        backups.upload(destination, f"{plan.folder}/{item.name}", spool)


@step("verify", "verify {destination.name}")
def verify(plan: Plan, destination: Destination, files: Sequence[ManifestFile]) -> str:
    """Compare every byte that was stored with what was written, and say in words how."""
    storage, name = destination.storage, destination.name
    ways = [backups.prove(storage, f"{plan.folder}/{file.name}", file, name) for file in files]
    return ", ".join(dict.fromkeys(ways))


@step("commit", "commit {destination.name}")
def commit(plan: Plan, destination: Destination, manifest: Manifest, checked: str) -> StoredCopy:
    """Write the manifest: from here on the copy counts as a backup. ``checked`` says how it was proven."""
    written = manifest.to_bytes(plan.key)
    backups.commit(destination.storage, plan.folder, written)
    try:
        catalog().record(manifest, written, storage=destination.name, folder=plan.folder)
    except DBackupError as error:  # the destination is the truth; the catalog can be rebuilt from it
        log.warning("the catalog does not know of this backup", reason=error.message, hint="dbackup catalog rebuild")
    return StoredCopy(storage=destination.name, complete=True, checked=checked)


@step("retain", "retain {destination.name}")
def retain(spec: JobSpec, manifest: Manifest, destination: Destination) -> Retained:
    """Apply the job's retention on one destination, after the backup with this manifest succeeded."""
    return retention.apply(
        destination,
        Series.of(manifest.job, manifest.source),
        retention.rules_of(spec, destination.name),
        keyring,
    )
