"""What a file says of a source, a storage, a channel or a job, compared with what is saved. Secrets only as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr, ValidationError

from blocks.addresses import channel_of, engine_of, storage_of
from core.errors import ConfigurationError
from core.fields import UNASKED, has, is_secret
from core.jobs import JobSpec
from core.marked_yaml import Location, MarkedFile
from core.masking import remember_secrets
from core.references import is_reference, referred
from core.wanted import WantedJob, WantedPlace, wrong

if TYPE_CHECKING:
    from blocks.sealed import AdapterBlock
    from deployments.schedules import Timetable

_ADAPTERS = {"source": engine_of, "storage": storage_of, "notification": channel_of}


@dataclass(frozen=True)
class Difference:
    """One field that is not what the file says. Of a secret, ``after`` says only what becomes of it."""

    field: str
    before: str
    after: str
    secret: bool = False

    def __str__(self) -> str:
        if self.secret or not self.before:
            return f"{self.field}: {self.after or 'nothing'}"
        return f"{self.field}: {self.before} → {self.after or 'nothing'}"


@dataclass(frozen=True)
class Place:
    """What a file says of a source, a storage or a channel, for its adapter."""

    label: str  # the adapter's
    config: BaseModel = field(repr=False)
    where: Location
    file: MarkedFile = field(repr=False)

    @property
    def asked(self) -> list[str]:
        """The fields that a person chooses."""
        return [name for name, one in type(self.config).model_fields.items() if not has(one, UNASKED)]

    @property
    def given(self) -> dict[str, Any]:
        """What is said, as a form gives it."""
        return {name: value for name, value in self.config if name in self.config.model_fields_set}

    @property
    def whole(self) -> dict[str, Any]:
        """What is said, and None for every choice that is not made, which takes the old one away."""
        return {**dict.fromkeys(self.asked), **self.given}


def wanted_place(file: MarkedFile, where: Location, kind: str, said: WantedPlace) -> Place:
    """The configuration that a file means. Raises WrongFile, also for a secret in clear."""
    url = _resolved(file, (*where, "url"), said.url)
    try:
        adapter = _ADAPTERS[kind](url)
        from_url = adapter.config_type.from_url(url)
    except ConfigurationError as error:
        raise file.wrong((*where, "url"), error.message, error.hint) from None
    if not is_reference(said.url):
        _require_no_secret(file, where, from_url)
    facts = {name: value for name, value in from_url if name in from_url.model_fields_set}
    facts |= {name: _beside(file, (*where, name), adapter.config_type, value) for name, value in said.beside.items()}
    try:
        config = adapter.config_type.model_validate(facts)
    except ValidationError as failure:
        raise wrong(file, where, failure, adapter.config_type) from None
    remember_secrets(config)
    return Place(adapter.label, config, where, file)


def _require_no_secret(file: MarkedFile, where: Location, config: BaseModel) -> None:
    for name, one in type(config).model_fields.items():
        if is_secret(one) and getattr(config, name) is not None:
            advice = "write url: env:NAME" if name == "url" else f"leave it out of the URL, and write {name}: env:NAME"
            raise file.wrong(
                (*where, "url"), f"here stands a secret in clear text ({name})", f"{advice}, or file:/PATH"
            )


def _beside(file: MarkedFile, where: Location, config: type[BaseModel], value: Any) -> Any:
    name = str(where[-1])
    known = config.model_fields.get(name)
    if known is None or not is_secret(known):
        if isinstance(value, str) and is_reference(value) and value.startswith("env:"):
            raise file.wrong(where, "only secrets and URLs can be references", "write the value itself")
        return value
    if not isinstance(value, str) or not is_reference(value):
        raise file.wrong(
            where, "here stands a secret in clear text", f"refer to it: {name}: env:NAME, or {name}: file:/PATH"
        )
    return SecretStr(_resolved(file, where, value))


def _resolved(file: MarkedFile, where: Location, text: str) -> str:
    if not is_reference(text):
        return text
    try:
        return referred(text)
    except ConfigurationError as error:
        raise file.wrong(where, error.message, error.hint) from None


def of_place(place: Place, old: AdapterBlock | None) -> tuple[Difference, ...]:
    """What differs. Raises WrongFile when something of another kind is saved under the name."""
    if old is None:
        return tuple(_different(place, name, None) for name in place.asked if name in place.given)
    if old.adapter.label != place.label:
        raise place.file.wrong(
            place.where,
            f"what is saved under this name is {old.adapter.label}, not {place.label}",
            "choose another name, or remove the old one first",
        )
    before = old.adapter.config_type.model_validate(old.opened())
    remember_secrets(before)
    return tuple(
        _different(place, name, before) for name in place.asked if getattr(before, name) != getattr(place.config, name)
    )


def _different(place: Place, name: str, before: BaseModel | None) -> Difference:
    new = getattr(place.config, name)
    old = getattr(before, name) if before is not None else None
    if not is_secret(type(place.config).model_fields[name]):
        return Difference(name, _text(old), _text(new))
    word = "removed" if new is None else "set" if old is None else "changed"
    return Difference(name, "", word, secret=True)


def of_job(
    file: MarkedFile, name: str, job: WantedJob, old: JobSpec | None, timetable: Timetable | None
) -> tuple[Difference, ...]:
    """What differs of a job and its schedule. Raises WrongFile for a schedule that cannot be used."""
    from deployments.schedules import cron_schedule

    if job.cron:
        try:
            cron_schedule(job.cron, job.timezone)
        except ConfigurationError as error:
            raise file.wrong(("jobs", name, "cron"), error.message, error.hint) from None
    default = JobSpec(source=job.source, destinations=job.destinations).model_dump(mode="json")
    after = job.called(name).model_dump(mode="json") | {"cron": job.cron, "paused": job.paused}
    before = (
        _before(old, timetable) if old else {**default, "source": "", "destinations": [], "cron": "", "paused": False}
    )
    return tuple(
        Difference(one, _text(before[one]) if old else "", _text(value))
        for one, value in after.items()
        if one != "name" and before[one] != value
    )


def _before(old: JobSpec, timetable: Timetable | None) -> Mapping[str, Any]:
    cron = (timetable.cron or timetable.written) if timetable else ""
    return old.model_dump(mode="json") | {"cron": cron, "paused": bool(timetable and timetable.paused)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
