"""Taking a backup: decide, dump into a spool, copy to the destinations, prove each copy, commit it by its manifest.

Every function does one of these and knows nothing of the order they come in, of threads or of Prefect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeGuard

from core import naming
from core.compression import Compression, compress
from core.container import ProfileKey, seal
from core.errors import (
    BackupError,
    ChecksumMismatch,
    ConfigurationError,
    DBackupError,
    DumpError,
    ObjectExists,
    StorageFull,
)
from core.jobs import JobSpec
from core.log import logger
from core.manifest import (
    ALL_DATABASES,
    MAX_SIZE,
    FileEncryption,
    JobReference,
    Manifest,
    ManifestFile,
    SourceDescription,
    Trigger,
)
from core.ports import (
    HASHED_BY_SERVER,
    AdoptsFiles,
    DatabaseAdapter,
    DatabaseInfo,
    Dump,
    DumpsInstance,
    HashesArrivals,
    HashesRemotely,
    InstanceDump,
    ResumesUploads,
    ServerInfo,
    StorageAdapter,
)
from core.streams import Chunks, Digest, Meter, Stage, through
from services import janitor, progress
from services.destinations import Destination
from services.memory_spool import MemorySpool
from services.spool import Spool, SpoolReader

READ_BACK = "read back"
log = logger(service="backup")


@dataclass(frozen=True)
class Plan:
    """What a run is going to do, decided before a byte moves."""

    spec: JobSpec
    job: JobReference
    backup_id: str
    started_at: datetime
    source: DatabaseAdapter
    server: ServerInfo
    databases: tuple[DatabaseInfo, ...]
    key: ProfileKey | None
    trigger: Trigger

    @property
    def slug(self) -> str:
        """The job's folder on every destination."""
        return naming.job_slug(self.job.name, self.job.id)

    @property
    def folder(self) -> str:
        """The backup's folder on every destination."""
        return naming.backup_folder(self.slug, self.backup_id)


@dataclass(frozen=True)
class Item:
    """One object of the backup, before it is dumped. ``expected`` is a rough size in bytes, where one is known.

    ``instance`` is the dump again where it holds several databases; then ``database`` is empty.
    """

    database: str
    kind: Literal["database", "globals"]
    dump: Dump
    name: str
    expected: int | None = None
    instance: InstanceDump | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return "globals" if self.kind == "globals" else self.database or ALL_DATABASES


def plan(spec: JobSpec, source: DatabaseAdapter, key: ProfileKey | None, trigger: Trigger) -> Plan:
    """Connect, choose the databases, and name the backup. Raises what the source raises, or ConfigurationError."""
    server = source.probe()
    now = datetime.now(UTC)
    return Plan(
        spec=spec,
        job=job_reference(spec, source),
        backup_id=naming.new_backup_id(now),
        started_at=now,
        source=source,
        server=server,
        databases=_chosen(spec, source),
        key=key,
        trigger=trigger,
    )


def saved_job(name: str) -> JobReference:
    """What a job with a name is called in every one of its backups."""
    return JobReference(id=f"job:{name}", name=name)


def job_reference(spec: JobSpec, source: DatabaseAdapter) -> JobReference:
    """The job's own name, or for a backup without a job one that is the same the next time."""
    if spec.name:
        return saved_job(spec.name)
    if spec.source.is_name:
        return JobReference(id=f"source:{spec.source}", name=spec.source)
    where = source.describe()
    return JobReference(id=f"{source.engine}:{where}", name=source.default_database() or where)


def source_name(spec: JobSpec, source: DatabaseAdapter) -> str:
    """What the source is called in every backup of it: its saved name, or where it is."""
    return str(spec.source) if spec.source.is_name else source.describe()


def _chosen(spec: JobSpec, source: DatabaseAdapter) -> tuple[DatabaseInfo, ...]:
    """The databases to dump. One that was named but does not exist stays in: its dump fails and is reported."""
    present = {info.name: info for info in source.databases()}
    named = tuple(dict.fromkeys(spec.databases)) or tuple(filter(None, [source.default_database()]))
    if named and spec.exclude:
        raise ConfigurationError(
            "databases are both named and excluded by a pattern", hint="do one or the other: name them, or exclude"
        )
    built = set() if named else janitor.being_built(source, present)
    wanted = named or tuple(
        name for name in present if name not in built and not any(fnmatchcase(name, p) for p in spec.exclude)
    )
    if not wanted:
        raise ConfigurationError("there is no database to back up", hint="check the names and the exclude patterns")
    return tuple(present.get(name, DatabaseInfo(name)) for name in wanted)


def require_room(plan: Plan, free: int | None, where: str) -> None:
    """Refuse a place that can hardly hold the backup in its ``free`` bytes. Raises StorageFull with the figures."""
    needed = _least(plan)
    if free is not None and free < needed:
        raise StorageFull(
            f"{where} has {free:,} bytes free, and this backup needs about {needed:,}: {needed - free:,} are missing",
            hint="free some space, or choose another destination",
        )


def _least(plan: Plan) -> int:
    """A cautious guess of the stored size in bytes: text in databases seldom compresses beyond ten to one."""
    total = sum(info.size or 0 for info in plan.databases)
    return total // 10 if plan.spec.compression.suffix else total // 2


def items(plan: Plan, scratch: Path) -> Iterator[Item]:
    """What is to be dumped, one after the other; the server's globals come last."""
    options = replace(plan.spec.dump_options, scratch=scratch)
    if instance := _instance(plan):
        suffix = plan.spec.compression.suffix
        name = naming.instance_name(instance.extension, suffix, encrypted=plan.key is not None)
        expected = sum(info.size or 0 for info in plan.databases) or None
        yield Item("", "database", instance, name, expected, instance)
    for info in () if instance else plan.databases:
        dump = plan.source.dump(info.name, options)
        yield Item(info.name, "database", dump, _object_name(plan, info.name, dump), info.size)
    if shared := plan.source.dump_globals():
        name = naming.globals_name(plan.spec.compression.suffix, encrypted=plan.key is not None)
        yield Item("", "globals", shared, name)


def _instance(plan: Plan) -> InstanceDump | None:
    """One dump of everything, where everything was asked for and the engine has a reason to offer one."""
    spec, source = plan.spec, plan.source
    chosen = spec.databases or spec.exclude or spec.dump_options.filters or source.default_database()
    if chosen or not isinstance(source, DumpsInstance):
        return None
    return source.dump_instance([info.name for info in plan.databases])


def _object_name(plan: Plan, database: str, dump: Dump) -> str:
    suffix = plan.spec.compression.suffix
    return naming.object_name(database, dump.extension, suffix, encrypted=plan.key is not None)


def spool(plan: Plan, path: Path) -> Spool | MemorySpool:
    """The buffer between a dump and its uploads: a file at ``path``, unless the job wants none on disk."""
    return MemorySpool() if plan.spec.spool == "memory" else Spool(path)


def dump(plan: Plan, item: Item, spool: Spool | MemorySpool) -> ManifestFile:
    """Dump one item into the spool, which is finished only when the dump is proven complete.

    Raises DumpError, StorageFull, or what the engine raises on connecting; then the spool is not finished.
    """
    produced, stored = Meter(), Digest()
    stages = pipeline(plan.spec.compression, plan.key)
    with item.dump as source, progress.step(f"dump {item.label}", item.expected) as advance:
        spool.append(through(source.chunks(), Meter(advance), produced, *stages, stored))
        contents = source.contents()
    if not produced.size:
        raise DumpError(f"the dump of {item.label} is empty", hint="see the log of the run for what the tool said")
    spool.finish()
    log.info("dump finished", database=item.label, dump_size=produced.size, size=stored.size, sha256=stored.sha256)
    return ManifestFile(
        name=item.name,
        database=item.database,
        kind=item.kind,
        dump_format=item.dump.dump_format,
        compression=plan.spec.compression.algorithm,
        encryption=FileEncryption(profile=plan.key.profile, key_id=plan.key.key_id) if plan.key else None,
        size=stored.size,
        sha256=stored.sha256,
        dump_size=produced.size,
        filters=plan.spec.dump_options.filters if item.kind == "database" else {},
        contents=contents,
        databases=dict(item.instance.databases()) if item.instance else {},
    )


def pipeline(compression: Compression, key: ProfileKey | None) -> Sequence[Stage]:
    """The stages from a dump's bytes to stored bytes: compress, then seal."""
    sealing = [seal(key, compression.algorithm)] if key else []
    return [compress(compression), *sealing]


def upload(destination: Destination, key: str, spool: SpoolReader) -> None:
    """Bring the spool's bytes to a destination, following the dump. Raises SpoolAborted when the dump failed.

    A spool that lies in the storage's own staging folder is published by a link; nothing is copied.
    """
    storage = destination.storage
    with progress.step(f"upload {key.rpartition('/')[2]} → {destination.name}") as advance:
        if isinstance(storage, AdoptsFiles) and _lies_on(spool, storage) and storage.adopt(key, spool.wait()):
            return
        try:
            if isinstance(storage, ResumesUploads) and isinstance(spool, Spool):
                storage.put_resumable(key, Metered(spool, advance))
            else:
                storage.put(key, through(spool.read(), Meter(advance)))
        except ObjectExists as taken:
            # Nobody else writes into this run's folder: an earlier try has published it, and the answer was lost on the
            # way. What lies there is proven before it counts, whoever put it there.
            log.warning("the object is there already, it will be verified", key=key, reason=taken.message)


@dataclass(frozen=True)
class Metered:
    """A spool that tells ``advance`` how many bytes of it were drawn."""

    spool: Spool
    advance: Callable[[int], None]

    def read(self, start: int = 0) -> Chunks:
        """Every byte from ``start`` on. Raises SpoolAborted."""
        return through(self.spool.read(start), Meter(self.advance))


def _lies_on(spool: SpoolReader, storage: AdoptsFiles) -> TypeGuard[Spool]:
    return isinstance(spool, Spool) and spool.path.is_relative_to(storage.staging())


@dataclass(frozen=True)
class StoredBytes:
    """An object that can be read as often as needed: on a destination, or downloaded from it."""

    where: str
    read: Callable[[], Chunks]

    @classmethod
    def at(cls, storage: StorageAdapter, key: str) -> StoredBytes:
        """The object of this key on a destination."""
        return cls(f"{key} on {storage.describe()}", lambda: storage.get(key))


def prove(storage: StorageAdapter, key: str, expected: ManifestFile, place: str = "") -> str:
    """Prove that every stored byte is what was written, and say how. Raises ChecksumMismatch.

    ``place`` is what people call the storage.

    Where the server can hash the object itself, nothing is downloaded. It may have done so while the object arrived; if
    that does not agree, what lies there now decides.
    """
    if isinstance(storage, HashesArrivals) and storage.arrived_sha256(key) == expected.sha256:
        return storage.hashed_on_arrival
    if isinstance(storage, HashesRemotely) and (found := storage.remote_sha256(key)):
        if found != expected.sha256:
            raise ChecksumMismatch(
                f"{key} on {storage.describe()} has the SHA-256 {found[:16]}…, says the server, "
                f"but {expected.sha256[:16]}… was written",
                hint="do not rely on this copy; check the server's disk, and restore from another copy",
            )
        return HASHED_BY_SERVER
    read_back(StoredBytes.at(storage, key), expected, place)
    return READ_BACK


def read_back(stored: StoredBytes, expected: ManifestFile, place: str = "") -> None:
    """Read every byte and compare size and SHA-256 with the manifest. Raises ChecksumMismatch."""
    found = Digest()
    with progress.step(f"verify {expected.name}{place and f' on {place}'}", expected.size) as advance:
        for _ in through(stored.read(), found, Meter(advance)):
            pass
    if (found.size, found.sha256) != (expected.size, expected.sha256):
        raise ChecksumMismatch(
            f"{stored.where} holds {found.size:,} bytes with SHA-256 {found.sha256[:16]}…, "
            f"but {expected.size:,} bytes with {expected.sha256[:16]}… were written",
            hint="do not rely on this copy; check the disk or the provider, and restore from another copy",
        )


def manifest(plan: Plan, files: Sequence[ManifestFile], missing: Sequence[str]) -> Manifest:
    """The manifest of what was dumped. ``missing`` names what was asked for and is not in the backup."""
    return Manifest(
        backup_id=plan.backup_id,
        job=plan.job,
        source=SourceDescription(
            name=source_name(plan.spec, plan.source),
            engine=plan.source.engine,
            server_version=plan.server.version,
            tool=plan.server.tool,
        ),
        trigger=plan.trigger,
        started_at=plan.started_at,
        finished_at=datetime.now(UTC).replace(microsecond=0),
        files=tuple(files),
        missing=tuple(missing),
    )


def commit(storage: StorageAdapter, folder: str, written: bytes) -> None:
    """Store the manifest, which makes the backup a backup; everything else must be there and proven before."""
    key = naming.manifest_key(folder)
    if len(written) > MAX_SIZE:
        raise BackupError(
            f"the manifest would hold {len(written):,} bytes, and a reader takes no more than {MAX_SIZE:,}",
            hint="back up fewer databases in one job",
        )
    ours = True
    try:
        storage.put(key, [written])
    except ObjectExists:  # an earlier try has stored it, and the answer was lost on the way; or somebody else has
        ours = False
    if b"".join(bytes(chunk) for chunk in storage.get(key)) != written:
        if ours:
            storage.delete(key)
        raise ChecksumMismatch(
            f"{key} on {storage.describe()} gives back other bytes than were written",
            hint="do not rely on this destination; check the disk or the provider",
        )
    log.info("backup committed", folder=folder, storage=storage.describe())


def withdraw(storage: StorageAdapter, plan: Plan, names: Sequence[str]) -> None:
    """Remove what this run put on a destination, as far as it can be reached, unless it was committed there."""
    keys = [f"{plan.folder}/{name}" for name in names]
    if isinstance(storage, ResumesUploads):
        for key in keys:
            storage.forget_upload(key)
    try:
        present = {one.key for one in storage.list(f"{plan.folder}/")}
        if naming.manifest_key(plan.folder) in present:
            return
        for key in keys:
            if key in present:
                storage.delete(key)
    except DBackupError as error:
        log.warning("could not remove an unfinished backup", folder=plan.folder, reason=error.message)
