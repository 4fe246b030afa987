"""The manifest, ``backup.meta.json``: what a backup holds, proven by its authentication code when it is encrypted.

Readers ignore fields they do not know, but the authentication code covers them: it is taken over the canonical form
of the whole object. Canonical means keys sorted by code point, no insignificant whitespace, UTF-8, integers only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from core.compression import Algorithm
from core.container import Keyring, ProfileKey
from core.errors import DamagedManifest, EncryptionError, TamperedManifest, UnsupportedFormat, WrongKey
from core.naming import is_backup_id, is_object_name

FORMAT = 1
MAX_SIZE = 64 << 20  # bytes of a manifest; a reader refuses more
ALL_DATABASES = "all databases"  # what people call an object that holds several
ANOTHER_COPY = "use another copy of this backup, or an older backup"


def _backup_id(text: str) -> str:
    if not is_backup_id(text):
        raise ValueError("not a backup id")
    return text


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


BackupId = Annotated[str, AfterValidator(_backup_id)]
Moment = Annotated[AwareDatetime, AfterValidator(_whole_seconds), PlainSerializer(_rfc3339, when_used="json")]
Trigger = Literal["schedule", "manual", "python"]
Bytes = Annotated[int, Field(ge=0, lt=1 << 63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Contents(_Part):
    """What a restore must bring back: the number of tables, and rows by table name.

    ``estimated`` are the tables whose count is an estimate, ``objects`` how many there are of other kinds (views,
    triggers), ``roles`` what must exist before a restore, ``notes`` what a person should know, for example "not point
    in time".
    """

    tables: Annotated[int, Field(ge=0)]
    rows: dict[str, Annotated[int, Field(ge=0)]]
    estimated: tuple[str, ...] = ()
    objects: dict[str, Annotated[int, Field(ge=0)]] = {}
    roles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class FileEncryption(_Part):
    """The key that sealed an object."""

    profile: str
    key_id: KeyId


class ManifestFile(_Part):
    """One object. ``size`` and ``sha256`` are of the stored bytes, ``dump_size`` is what the dump tool produced.

    ``filters`` are the names of schemas and tables that chose what is in it; without any it holds the whole database.
    An object that holds several has no ``database`` but ``databases``, with what each of them holds when it is restored
    alone; its ``contents`` are then those of all of them, restored together.
    """

    name: str
    database: str
    kind: Literal["database", "globals"]
    dump_format: str
    compression: Algorithm
    encryption: FileEncryption | None = None
    size: Bytes
    sha256: Sha256
    dump_size: Bytes
    filters: dict[str, tuple[str, ...]] = {}
    contents: Contents | None = None
    databases: dict[str, Contents] = {}

    @property
    def holds(self) -> tuple[str, ...]:
        """The names of the databases in it; none for what belongs to the server."""
        if self.kind == "globals":
            return ()
        return tuple(self.databases) or (self.database,)

    @property
    def label(self) -> str:
        """What people call it."""
        return "globals" if self.kind == "globals" else ALL_DATABASES if self.databases else self.database

    @model_validator(mode="after")
    def _well_named(self) -> ManifestFile:
        if not is_object_name(self.name, suffix=self.compression.suffix, encrypted=self.encryption is not None):
            raise ValueError("the name of a file does not fit its compression and encryption, or is none of ours")
        return self


class JobReference(_Part):
    """The job that made the backup."""

    id: str
    name: str


class SourceDescription(_Part):
    """What was backed up, and with which tool."""

    name: str
    engine: str
    server_version: str
    tool: str


class Manifest(_Part):
    """One backup. Its presence on a destination says that every file it lists is complete.

    ``missing`` names what was asked for and could not be dumped; a backup that misses something is not counted as
    complete by retention.
    """

    format: Literal[1] = 1
    backup_id: BackupId
    job: JobReference
    source: SourceDescription
    trigger: Trigger
    started_at: Moment
    finished_at: Moment
    files: tuple[ManifestFile, ...]
    missing: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Manifest:
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two files have one name")
        return self

    def key_ids(self) -> set[str]:
        """The ids of the keys that its files were sealed with; a genuine backup has one at most."""
        return {file.encryption.key_id for file in self.files if file.encryption}

    def to_bytes(self, key: ProfileKey | None = None) -> bytes:
        """The canonical form, with an authentication code when ``key`` is given.

        Raises EncryptionError unless the files were sealed with just this key.
        """
        fields = {"format": self.format} | self.model_dump(mode="json", exclude_defaults=True)
        if self.key_ids() != ({key.key_id} if key else set()):
            raise EncryptionError(
                "the manifest's files were not sealed with the key that signs it",
                hint="seal every file of a backup with one profile",
            )
        return canonical(fields | {"mac": _mac(fields, key)} if key else fields)

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest. Raises UnsupportedFormat for a newer format, DamagedManifest for what is none."""
        fields = _load(data)
        version = fields.get("format")
        if type(version) is not int:
            raise _damaged("it does not say which format it has")
        if version > FORMAT:
            raise UnsupportedFormat(
                f"the backup has format {version}, this program reads format {FORMAT}",
                hint="use a newer version of the program",
            )
        try:
            return cls.model_validate_json(canonical(fields), strict=True)
        except ValidationError as error:
            raise _damaged(_first(error)) from None


def canonical(fields: dict[str, Any]) -> bytes:
    """The one way to write an object: what hashes and authentication codes are taken over."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def authenticate(data: bytes, keys: Keyring) -> None:
    """Prove that a manifest is as it was written. One of a backup that is not encrypted has nothing to prove.

    Raises what :meth:`Manifest.parse` raises, WrongKey when the key is not available, TamperedManifest when the proof
    fails.
    """
    key_ids = Manifest.parse(data).key_ids()
    fields = _load(data)
    code = fields.pop("mac", None)
    if code is None and not key_ids:
        return
    if not isinstance(code, str) or len(key_ids) != 1:
        raise _tampered("its authentication code is missing or belongs to no file")
    key_id = key_ids.pop()
    if key_id not in keys:
        raise WrongKey(
            f"the manifest was signed with key {key_id}, which is not available",
            hint="import that key from the profile's recovery kit",
        )
    if not hmac.compare_digest(code.encode(), _mac(fields, keys[key_id]).encode()):
        raise _tampered("its authentication code does not hold")


def _mac(fields: dict[str, Any], key: ProfileKey) -> str:
    derived = key.derive(salt=fields["backup_id"].encode(), info=b"dbackup/v1/manifest")
    return hmac.new(derived, canonical(fields), hashlib.sha256).hexdigest()


def _load(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_SIZE:
        raise _damaged(f"it has more than {MAX_SIZE} bytes")
    try:
        fields = json.loads(data.decode(), object_pairs_hook=_distinct, parse_float=_refuse, parse_constant=_refuse)
        canonical(fields)  # refuses text that is not Unicode
    except (ValueError, RecursionError):
        raise _damaged("it is not the JSON of a manifest") from None
    if not isinstance(fields, dict):
        raise _damaged("it is not a JSON object")
    return fields


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return fields


def _refuse(number: str) -> None:
    raise ValueError("not an integer")


def _damaged(reason: str) -> DamagedManifest:
    return DamagedManifest(f"the manifest cannot be read: {reason}", hint=ANOTHER_COPY)


def _tampered(reason: str) -> TamperedManifest:
    return TamperedManifest(f"the manifest was changed: {reason}", hint=ANOTHER_COPY)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong and where, without the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'manifest'}: {first['msg']}"
