"""What a file wants a system to be: its profiles, sources, storages, channels, jobs and groups.

A section that is left out is not looked at; an empty one wants nothing in it. What the fields of a source, a storage
or a channel mean is its adapter's matter; here they are only taken in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.jobs import SAVED_NAME, Address, JobSpec
from core.marked_yaml import MarkedFile, WrongFile, read
from core.permissions import Permission


def _saved_name(name: str) -> str:
    if not SAVED_NAME.fullmatch(name):
        raise ValueError("this cannot be a name; use lower-case letters, digits and dashes, at most 63")
    return name


SavedName = Annotated[str, AfterValidator(_saved_name)]
Scalar = str | int | float | bool


class WantedPlace(BaseModel):
    """A source, a storage or a channel: its URL, or a reference to it, and fields of its adapter beside it."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, Scalar]

    url: str = Field(min_length=1)

    @property
    def beside(self) -> dict[str, Scalar]:
        """The fields that do not stand in the URL."""
        return dict(self.__pydantic_extra__ or {})


class WantedJob(JobSpec):
    """A job by the fields of its specification, and when it runs by itself."""

    cron: str = ""
    paused: bool = False

    @field_validator("name")
    @classmethod
    def _is_the_key(cls, name: str) -> str:
        raise ValueError("the name of a job is the key that it stands under")

    @field_validator("source")
    @classmethod
    def _a_saved_name(cls, source: Address) -> Address:
        if not source.is_name:
            raise ValueError("name a source; its URL stands under sources")
        return source

    @field_validator("destinations")
    @classmethod
    def _saved_names(cls, destinations: tuple[Address, ...]) -> tuple[Address, ...]:
        if not all(one.is_name for one in destinations):
            raise ValueError("name storages; their URLs stand under storages")
        return destinations

    @field_validator("cron")
    @classmethod
    def _one_blank(cls, cron: str) -> str:
        return " ".join(cron.split())

    @model_validator(mode="after")
    def _pausable(self) -> WantedJob:
        if self.paused and not self.cron:
            raise ValueError("only a job with a schedule can be paused: give it cron, or leave out paused")
        return self

    def called(self, name: str) -> JobSpec:
        """What the job does, without when."""
        return JobSpec.model_validate({**{field: getattr(self, field) for field in JobSpec.model_fields}, "name": name})


class WantedGroup(BaseModel):
    """What a group permits, by names or patterns, and on which sources: on all of them without a list."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    permissions: tuple[str, ...]
    sources: tuple[SavedName, ...] | None = None

    @field_validator("permissions")
    @classmethod
    def _known(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for number, pattern in enumerate(patterns):
            if not Permission.matching(pattern):
                raise ValueError(f"no permission is called or matches entry {number + 1}; see docs/users.md")
        return patterns

    @property
    def permitted(self) -> frozenset[Permission]:
        """Every permission that is named or matched."""
        return frozenset().union(*map(Permission.matching, self.permissions))


class Wanted(BaseModel):
    """A whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profiles: tuple[SavedName, ...] | None = None
    sources: dict[SavedName, WantedPlace] | None = None
    storages: dict[SavedName, WantedPlace] | None = None
    channels: dict[SavedName, WantedPlace] | None = None
    jobs: dict[SavedName, WantedJob] | None = None
    groups: dict[str, WantedGroup] | None = None


def wanted(path: Path) -> tuple[MarkedFile, Wanted]:
    """Read a file. Raises WrongFile, which names the line, and ConfigurationError for a file that cannot be read."""
    file = read(path)
    if not isinstance(file.value, dict) or not file.value:
        raise file.wrong((), "it says nothing", f"it has sections: {', '.join(Wanted.model_fields)}")
    try:
        return file, Wanted.model_validate(file.value)
    except ValidationError as failure:
        raise wrong(file, (), failure, Wanted) from None


def wrong(
    file: MarkedFile, where: tuple[str | int, ...], failure: ValidationError, model: type[BaseModel]
) -> WrongFile:
    """The first thing that does not validate, of a model at ``where``; its value is not repeated."""
    first = failure.errors(include_input=False, include_url=False)[0]
    loc = tuple(part for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        fields = _fields_at(model, loc)
        hint = f"there is: {', '.join(fields)}" if fields else ""
        return file.wrong((*where, *loc), "there is no such key", hint)
    reason = (
        str(first["msg"])
        .removeprefix("Value error, ")
        .replace("valid tuple", "list")
        .replace("valid dictionary", "mapping of names")
    )
    return file.wrong((*where, *loc), "it is missing" if first["type"] == "missing" else reason)


_SECTIONS: dict[str, type[BaseModel]] = {"jobs": WantedJob, "groups": WantedGroup}


def _fields_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    inner = _SECTIONS.get(str(loc[0])) if model is Wanted and len(loc) > 1 else model
    return sorted(name for name in inner.model_fields if name != "name") if inner else []
