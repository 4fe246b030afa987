"""What a command's options ask for, as the specification of a run; what does not validate is wrong usage."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cli.output import WrongUsage
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from core.compression import Compression
    from core.retention import Retention

    M = TypeVar("M", bound=BaseModel)

_OPTIONS = {"destinations": "to", "schemas": "schema", "exclude_schemas": "exclude-schema", "tables": "table",
            "exclude_tables": "exclude-table", "backup": "BACKUP"}  # fmt: skip


def specified(model: type[M], **fields: Any) -> M:
    """Make the specification. Raises WrongUsage that names the option which is wrong, never its value."""
    from pydantic import ValidationError

    try:
        return model(**fields)
    except ValidationError as failure:
        errors = failure.errors(include_input=False, include_url=False)
        first = next((one for one in errors if one["type"] == "value_error"), errors[0])  # what we say ourselves
        field = str(first["loc"][0]) if first["loc"] else ""
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise WrongUsage(
            f"{_option(field)} cannot be used: {reason}", hint="see what is possible with: --help"
        ) from None


def compression(text: str) -> Compression:
    """The algorithm and level. Raises WrongUsage for what there is not."""
    from core.compression import Compression

    try:
        return Compression.parse(text)
    except ConfigurationError as error:
        raise WrongUsage(error.message, hint=error.hint) from None


def retention(text: str) -> Retention:
    """The rules that say which backups stay. Raises WrongUsage for rules that there are not."""
    from core.retention import Retention

    try:
        return Retention.parse(text)
    except ConfigurationError as error:
        raise WrongUsage(error.message, hint=error.hint) from None


def retention_at(texts: Sequence[str]) -> dict[str, Retention]:
    """The rules of single destinations, each ``NAME=RULES``. Raises WrongUsage for one without rules or named twice."""
    chosen: dict[str, Retention] = {}
    for text in texts:
        name, _, rules = (part.strip() for part in text.partition("="))
        if not name or not rules:
            raise WrongUsage(
                f"--keep-at {text} gives no rules to a destination",
                hint="write NAME=RULES: nas=daily=30,weekly=8; a destination that keeps everything has nas=min_keep=3",
            )
        if name in chosen:
            raise WrongUsage(
                f"--keep-at names {name} twice", hint=f"put all of its rules into one: {name}=daily=30,last=1"
            )
        chosen[name] = retention(rules)
    return chosen


def _option(field: str) -> str:
    name = _OPTIONS.get(field, field.replace("_", "-"))
    return name if name.isupper() else f"--{name}"


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names separated by commas; one that holds a comma is put in double quotes, as in CSV."""
    return tuple(name for row in csv.reader(texts, skipinitialspace=True) for name in row if name)


def restored(databases: Sequence[str], rename: str | None) -> dict[str, Any]:
    """The fields of a RestoreSpec that say which databases come back, and under which names. Raises WrongUsage.

    One alone is taken as it is; in several, and wherever a new name follows, the first ``=`` ends the old one.
    """
    if rename and len(databases) > 1:
        raise WrongUsage(
            "--as gives one database another name, and several are chosen",
            hint="write the new names beside the old ones: --database shop=shop_new --database crm",
        )
    if rename or (not any("=" in one for one in databases) and len(databases) < 2):
        return {"database": next(iter(databases), None), "rename": rename}
    chosen: dict[str, str] = {}
    for text in databases:
        old, _, new = text.partition("=")
        if not old or old in chosen:
            raise WrongUsage(
                "--database names a database twice" if old else "--database names no database",
                hint="write each once: --database shop, or --database shop=shop_new",
            )
        chosen[old] = new
    return {"names": chosen}
