"""What can be wished of a backup, whether it is taken now or is a job's: the options that both have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import Notify
from cli.specs import compression as parsed
from cli.specs import names, retention, retention_at

Many = list[str]
Wish = dict[str, Any]  # fields of a JobSpec

_SCOPE = "What to dump"
_FIELDS = {"schema": "schemas", "exclude_schema": "exclude_schemas", "table": "tables",
           "exclude_table": "exclude_tables"}  # fmt: skip


def _filter(name: str, what: str, metavar: str = "NAME") -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=what, rich_help_panel=_SCOPE, show_default=False)


def wishes(  # noqa: PLR0913 - its parameters are options
    *,
    databases: Annotated[
        Many | None,
        typer.Option(metavar="A,B", help="Only these databases.", rich_help_panel=_SCOPE, show_default=False),
    ] = None,
    exclude: Annotated[Many | None, _filter("exclude", "Not the databases like this.", "PATTERN")] = None,
    schema: Annotated[Many | None, _filter("schema", "Only these schemas.")] = None,
    exclude_schema: Annotated[Many | None, _filter("exclude-schema", "Not these schemas.")] = None,
    table: Annotated[Many | None, _filter("table", "Only these tables.")] = None,
    exclude_table: Annotated[Many | None, _filter("exclude-table", "Not these tables.")] = None,
    exact_rows: Annotated[
        int, typer.Option(metavar="N", help="Count tables of up to N rows exactly.", rich_help_panel=_SCOPE)
    ] = 1_000_000,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encrypt with this profile.", show_default=False)
    ] = None,
    compression: Annotated[
        str, typer.Option(metavar="ALGORITHM[:LEVEL]", help="zstd (1 to 19), gzip (1 to 9) or none.")
    ] = "zstd:3",
    keep: Annotated[
        str, typer.Option(metavar="RULES", help="Which backups stay: last=7,daily=7,weekly=4.", show_default="all")
    ] = "",
    keep_at: Annotated[
        Many | None, typer.Option(metavar="NAME=RULES", help="Other rules for one destination.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Where a day ends: Europe/Berlin.")] = "UTC",
    overdue_after: Annotated[
        int | None,
        typer.Option(metavar="HOURS", help="Overdue without a good backup for so long.", show_default=False),
    ] = None,
    retries: Annotated[int, typer.Option(metavar="N", help="How often to try a failed upload again.")] = 3,
    spool: Annotated[str, typer.Option(metavar="disk|memory", help="Where bytes wait for slow destinations.")] = "disk",
    notify: Notify = None,
) -> Wish:
    """The fields of a JobSpec that these options are. Raises WrongUsage."""
    return {
        "databases": names(databases or ()),
        "exclude": tuple(exclude or ()),
        "schemas": tuple(schema or ()),
        "exclude_schemas": tuple(exclude_schema or ()),
        "tables": tuple(table or ()),
        "exclude_tables": tuple(exclude_table or ()),
        "profile": profile,
        "compression": parsed(compression),
        "exact_rows": exact_rows,
        "keep": retention(keep),
        "keep_at": retention_at(keep_at or ()),
        "timezone": timezone,
        "overdue_after": overdue_after,
        "retries": retries,
        "spool": spool,
        "notify": tuple(notify or ()),
    }


def chosen(fields: Wish, context: typer.Context) -> Wish:
    """Of some fields those whose options stand on the command line. What is given as empty (or 0 hours) is nothing."""
    sources = {option: context.get_parameter_source(option) for option in context.params}
    given = {_FIELDS.get(option, option) for option, one in sources.items() if one and one.name == "COMMANDLINE"}
    return {name: _emptied(name, value) for name, value in fields.items() if name in given}


def _emptied(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(one for one in value if one != "")
    return None if value in ("", 0) and name in ("profile", "overdue_after") else value
