"""What a backup job asks for: names and choices, never a secret in clear."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from core.compression import Compression
from core.errors import ConfigurationError
from core.events import CHOICES, Event
from core.ports import DumpOptions
from core.retention import Retention
from core.sealing import is_sealed
from core.written import Written

SAVED_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # Prefect's rule for the name of a block
DEFAULT_QUEUE = "default"  # Prefect's name for the queue of what names none


class Address(str):
    """A source, a storage or a target: a saved name, a URL, or a URL already sealed.

    A URL may hold a password, so its ``repr`` is masked; it is sealed before it becomes a flow parameter.
    """

    __slots__ = ()

    @property
    def is_name(self) -> bool:
        """Whether this is the name of a saved block."""
        return SAVED_NAME.fullmatch(self) is not None

    @property
    def is_sealed(self) -> bool:
        """Whether this is a URL that has been sealed; no URL in clear has this form."""
        return is_sealed(self)

    @property
    def saved_name(self) -> str:
        """The name that it is saved under, or nothing."""
        return str(self) if self.is_name else ""

    @property
    def shown(self) -> str:
        """What may be shown of it: a saved name, or the scheme of a URL."""
        return str(self) if self.is_name else f"{'sealed' if self.is_sealed else self.partition(':')[0]} address"

    def sealed(self, seal: Callable[[str], str]) -> Address:
        """The address in the form that may be stored: a name as it is, a URL sealed."""
        return self if self.is_name or self.is_sealed else Address(seal(self))

    def __repr__(self) -> str:
        return repr(str(self)) if self.is_name else "Address(****)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))


@dataclass(frozen=True)
class NotifyRule(Written):
    """Which channel hears of what, written ``ops`` or ``ops:failure,overdue``.

    ``channel`` is a saved name. Without events (None) it hears of what its kind is for: a dead man's switch of every
    beginning and end, others of failures, partial backups and failed integrity checks.
    """

    channel: str
    events: tuple[Event, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``channel`` or ``channel:event,event``. Raises ConfigurationError for anything else."""
        channel, colon, listed = text.partition(":")
        if not SAVED_NAME.fullmatch(channel) or listed.startswith("//"):  # a URL may hold a secret: it is not repeated
            raise ConfigurationError(
                "this is not the name of a saved channel", hint="write for example ops, or ops:success,failure"
            )
        if not colon:
            return cls(channel)
        wanted = {name.strip() for name in listed.split(",")}
        if unknown := sorted(wanted.difference(CHOICES)):
            raise ConfigurationError(f"there is no event {unknown[0]!r}", hint=f"choose from {', '.join(CHOICES)}")
        return cls(channel, tuple(event for event in CHOICES if event in wanted))

    def __str__(self) -> str:
        return self.channel if self.events is None else f"{self.channel}:{','.join(self.events)}"


def _one_rule_each(rules: tuple[NotifyRule, ...]) -> tuple[NotifyRule, ...]:
    if len({rule.channel for rule in rules}) != len(rules):
        raise ValueError("a channel is named twice: write all of its events in one rule")
    return rules


NotifyRules = Annotated[tuple[NotifyRule, ...], AfterValidator(_one_rule_each)]


def queue_label(text: str) -> str:
    """A label as it is. Raises ValueError for what cannot be one."""
    if not SAVED_NAME.fullmatch(text):
        raise ValueError("a queue is named with lower-case letters, digits and dashes, at most 63, like berlin")
    return text


QueueLabel = Annotated[str, AfterValidator(queue_label)]


class JobSpec(BaseModel):
    """One backup job. ``source`` and ``destinations`` are saved names or URLs.

    ``databases`` empty means the one the source names, or all of them; ``exclude`` takes shell patterns.
    ``profile`` names an encryption profile; without one the backup is not encrypted. Tables with at most
    ``exact_rows`` estimated rows are counted exactly, larger ones are estimated. ``retries`` is how often a
    connection to the source, one to a destination, or an upload is tried again, as long as that can help. ``spool`` is
    where the bytes wait for a slow destination: on disk, or in a bounded memory, where the slowest destination holds
    the dump up and no upload can be tried again.

    ``keep`` is the retention of every destination, ``keep_at`` that of single ones, by their saved name. ``timezone``,
    an IANA name, says where a day ends, and is the zone of the job's schedule. With ``catch_up`` one run is made up of
    those that were missed while nothing could run.
    ``queue`` is the label of the queue that its runs wait in: only workers that serve it take them.
    ``notify`` says which channels are told of what. ``overdue_after`` is after how many hours without a good backup
    the job is overdue; None means that nobody looks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Address
    destinations: tuple[Address, ...] = Field(min_length=1, max_length=16)
    name: str = ""
    databases: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    profile: str | None = None
    compression: Compression = Field(default=Compression(), json_schema_extra={"default": str(Compression())})
    exact_rows: int = Field(default=1_000_000, ge=0)
    retries: int = Field(default=3, ge=0, le=20)
    spool: Literal["disk", "memory"] = "disk"
    keep: Retention = Field(default=Retention(), json_schema_extra={"default": str(Retention())})
    keep_at: dict[str, Retention] = Field(default_factory=dict)
    timezone: str = "UTC"
    catch_up: bool = True
    queue: QueueLabel = DEFAULT_QUEUE
    notify: NotifyRules = ()
    overdue_after: int | None = Field(default=None, ge=1)

    @field_validator("exclude")
    @classmethod
    def _not_named_too(cls, exclude: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if exclude and info.data.get("databases"):
            raise ValueError("databases are both named and excluded by a pattern; do one or the other")
        return exclude

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            return ZoneInfo(timezone).key
        except (LookupError, ValueError, OSError):  # unknown, not a name of a zone, or a folder of zones
            raise ValueError("this is not the name of a time zone; write for example Europe/Berlin") from None

    @field_validator("keep_at")
    @classmethod
    def _kept_where_stored(cls, keep_at: dict[str, Retention], info: ValidationInfo) -> dict[str, Retention]:
        destinations: tuple[Address, ...] = info.data.get("destinations", ())
        if not keep_at.keys() <= {str(one) for one in destinations if one.is_name}:
            raise ValueError("it names what is no destination of this job; only saved names can be used")
        return keep_at

    @field_validator("destinations")
    @classmethod
    def _distinct(cls, destinations: tuple[Address, ...]) -> tuple[Address, ...]:
        if len(set(destinations)) != len(destinations):
            raise ValueError("a destination is named twice")
        return destinations

    @property
    def dump_options(self) -> DumpOptions:
        """The filters, as an engine takes them."""
        return DumpOptions(self.schemas, self.exclude_schemas, self.tables, self.exclude_tables, self.exact_rows)

    def retention_at(self, destination: str) -> Retention:
        """The retention of a destination, by its saved name or whatever else it is called."""
        return self.keep_at.get(destination, self.keep)

    def sealed(self, seal: Callable[[str], str]) -> JobSpec:
        """The same job with every URL sealed, fit to be stored."""
        return self.model_copy(
            update={
                "source": self.source.sealed(seal),
                "destinations": tuple(address.sealed(seal) for address in self.destinations),
            }
        )


class RestoreSpec(BaseModel):
    """One restore: which backup (an id, ``latest`` or ``<job>/latest``), from where, into what.

    ``database`` chooses one of several; ``rename`` gives it another name. ``names`` chooses several, each with its new
    name, or with an empty one to keep what it would be called without. An existing target is refused unless
    ``overwrite``, which swaps it only after the new one is complete and compared. Without ``owner``, objects
    belong to whoever restores and grants are left out. ``accept_tampered`` restores although the manifest's
    authentication fails; it is never the default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backup: str = Field(min_length=1)
    storage: Address
    target: Address
    database: str | None = None
    rename: str | None = None
    names: dict[str, str] = Field(default_factory=dict)
    overwrite: bool = False
    owner: bool = True
    accept_tampered: bool = False
    notify: NotifyRules = ()

    @field_validator("names")
    @classmethod
    def _chosen_once(cls, names: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if names and (info.data.get("database") or info.data.get("rename")):
            raise ValueError("databases are chosen twice: name one, or give several with their new names")
        return names

    def sealed(self, seal: Callable[[str], str]) -> RestoreSpec:
        """The same restore with every URL sealed, fit to be stored."""
        return self.model_copy(update={"storage": self.storage.sealed(seal), "target": self.target.sealed(seal)})


class IntegritySpec(BaseModel):
    """One integrity check: of one ``backup``, or of all of them, on the named storages (none: every saved one)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storages: tuple[Address, ...] = ()
    backup: str | None = None
    notify: NotifyRules = ()

    def sealed(self, seal: Callable[[str], str]) -> IntegritySpec:
        """The same check with every URL sealed, fit to be stored."""
        return self.model_copy(update={"storages": tuple(address.sealed(seal) for address in self.storages)})


class CleaningSpec(BaseModel):
    """One run of the janitor: the saved storages to clean, and the saved sources to look at; None means all of them.

    Only saved names: a URL could hold a secret, so it is refused and not repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    storages: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    dry_run: bool = False

    @field_validator("storages", "sources")
    @classmethod
    def _saved(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if not all(SAVED_NAME.fullmatch(name) for name in names or ()):
            raise ValueError("this is no saved name; save it first, and give its name")
        return names
