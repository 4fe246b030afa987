"""How things are called on a destination. No other module builds or parses a key.

    <job-slug>/<backup-id>/<object>

Every key is made of ``A-Z a-z 0-9 . _ - % ~`` and has exactly these parts; no part starts with a dot or a dash or is
longer than a file name may be. So a key is harmless on any file system, in any object store and on a command line.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes

from core.errors import ConfigurationError

MANIFEST = "backup.meta.json"
LOCK = "backup.lock"
VERIFICATION = "verification"
GLOBALS = "globals.sql"
INSTANCE = "all-databases"
ENCRYPTED = ".enc"

_MOMENT = "%Y%m%dT%H%M%SZ"
_MAX_STEM = 200  # bytes of an encoded database name; leaves room for suffixes and for temporary names within 255
_MAX_READABLE = 40  # characters of a slug that come from the job's name
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_BACKUP_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_OBJECT = re.compile(
    r"(?!backup\.lock$)(?P<stem>(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+(?:~[0-9a-f]{16})?)\.(?P<extension>[a-z0-9]{1,12})"
    r"(?P<suffix>\.zst|\.gz)?(?P<encrypted>\.enc)?"
)


@dataclass(frozen=True)
class BackupKey:
    """A key taken apart. ``name`` is everything below the backup's folder."""

    slug: str
    backup_id: str
    name: str

    @property
    def folder(self) -> str:
        """The folder of the backup this key belongs to."""
        return backup_folder(self.slug, self.backup_id)

    @property
    def is_manifest(self) -> bool:
        """Whether this is the object that commits a backup."""
        return self.name == MANIFEST


def new_backup_id(now: datetime) -> str:
    """The id of a backup that starts at ``now`` (with a time zone): UTC to the second, and six random hex digits."""
    return f"{now.astimezone(UTC).strftime(_MOMENT)}-{secrets.token_hex(3)}"


def is_backup_id(text: str) -> bool:
    """Whether this could have come from :func:`new_backup_id`."""
    return _BACKUP_ID.fullmatch(text) is not None and _moment(text) is not None


def started_at(backup_id: str) -> datetime:
    """When the backup started, in UTC. Raises ConfigurationError for what is no backup id."""
    moment = _moment(backup_id) if _BACKUP_ID.fullmatch(backup_id) else None
    if moment is None:
        raise ConfigurationError(
            f"{backup_id!r} is not a backup id", hint="a backup id looks like 20261122T030000Z-7f3a9c"
        )
    return moment


def _moment(backup_id: str) -> datetime | None:
    try:
        return datetime.strptime(backup_id.partition("-")[0], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


def job_slug(name: str, job_id: str) -> str:
    """The folder of a job: a readable part from its name, and eight hex digits that only this ``job_id`` has."""
    return f"{_readable(name)}-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}"


def is_slug_of(slug: str, name: str) -> bool:
    """Whether this may be the folder of a job of this name, as far as its readable part tells."""
    return slug.rpartition("-")[0] == _readable(name)


def _readable(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_READABLE].strip("-") or "job"


def object_name(database: str, extension: str, suffix: str, encrypted: bool) -> str:
    """The name of a database's object, for example ``shop.dump.zst.enc``. Different databases get different names.

    Raises ConfigurationError for an empty name and for one that is not Unicode text.
    """
    return f"{_stem(database)}.{extension}{suffix}{ENCRYPTED if encrypted else ''}"


def globals_name(suffix: str, encrypted: bool) -> str:
    """The name of the object that holds a server's roles and grants; no database's object is called so."""
    return f"{GLOBALS}{suffix}{ENCRYPTED if encrypted else ''}"


def instance_name(extension: str, suffix: str, encrypted: bool) -> str:
    """The name of an object that holds all databases; a backup with such a one has no other of databases."""
    return f"{INSTANCE}.{extension}{suffix}{ENCRYPTED if encrypted else ''}"


def _stem(database: str) -> str:
    try:
        raw = database.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a database's name is not Unicode text", hint="rename it before a backup") from None
    if not raw:
        raise ConfigurationError("a database's name is empty", hint="say which database is meant")
    stem = quote_from_bytes(raw, safe="").replace(".", "%2E").replace("~", "%7E")
    if stem.startswith("-") or stem == "globals":
        stem = f"%{raw[0]:02X}{stem[1:]}"  # not an option to any tool, and not the server's own object
    if len(stem) <= _MAX_STEM:
        return stem
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return re.sub(r"%.?$", "", stem[: _MAX_STEM - 17]) + "~" + digest


def is_object_name(name: str, *, suffix: str, encrypted: bool) -> bool:
    """Whether this is the name of an object with this compression suffix, encrypted or not."""
    parts = _OBJECT.fullmatch(name)
    return parts is not None and (parts["suffix"] or "") == suffix and bool(parts["encrypted"]) == encrypted


def backup_folder(slug: str, backup_id: str) -> str:
    """The folder of a backup."""
    return f"{slug}/{backup_id}"


def manifest_key(folder: str) -> str:
    """The key of the manifest, whose presence commits the backup."""
    return f"{folder}/{MANIFEST}"


def lock_key(folder: str) -> str:
    """The key of the marker that pins the backup."""
    return f"{folder}/{LOCK}"


def verification_folder(folder: str) -> str:
    """What the keys of all results of a backup's verifications begin with."""
    return f"{folder}/{VERIFICATION}/"


def verification_key(folder: str, moment: datetime) -> str:
    """A new key for the result of a verification made at ``moment`` (with a time zone)."""
    return f"{verification_folder(folder)}{new_backup_id(moment)}.json"


def parse_key(key: str) -> BackupKey | None:
    """Take a key apart, or None when it is not one of ours."""
    slug, _, rest = key.partition("/")
    backup_id, _, name = rest.partition("/")
    ours = _SLUG.fullmatch(slug) and is_backup_id(backup_id) and _is_name(name)
    return BackupKey(slug, backup_id, name) if ours else None


def _is_name(name: str) -> bool:
    folder, _, result = name.partition("/")
    if folder == VERIFICATION:
        return result.endswith(".json") and is_backup_id(result.removesuffix(".json"))
    return name in (MANIFEST, LOCK) or _OBJECT.fullmatch(name) is not None
