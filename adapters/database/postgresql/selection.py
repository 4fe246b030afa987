"""What part of a database a dump takes, decided by us on the dump's own snapshot.

Filters are names, not patterns: ``schema.table``, or ``table`` for one of that name in any schema; a part with a
dot in it stands in double quotes. ``pg_dump`` is then told what to leave out, never what to take: with ``--table``
or ``--schema`` it would leave out the schema and the extensions that the tables need, and the dump could not be
restored into an empty database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.errors import ConfigurationError
from core.ports import DumpOptions

PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
PART = r'"(?:[^"]|"")+"|[^".]+'
NAME = re.compile(rf"(?:({PART})\.)?({PART})")


class Relation(NamedTuple):
    """A table, view or the like; ``kind`` is that of pg_class."""

    schema: str
    name: str
    kind: str

    @property
    def key(self) -> str:
        """The name as in ``Contents.rows``: unambiguous, with quotes where they are needed."""
        return ".".join(part if PLAIN.fullmatch(part) else quoted(part) for part in (self.schema, self.name))


class Catalogue(NamedTuple):
    """What a database holds of its users': schemas, those that are homes of an extension, and relations."""

    schemas: frozenset[str]
    homes: frozenset[str]
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class Selection:
    """What is left out: whole schemas, and single relations of the others."""

    schemas: frozenset[str] = frozenset()
    relations: frozenset[Relation] = frozenset()

    def keeps(self, relation: Relation) -> bool:
        """Whether the relation is in the dump."""
        return relation.schema not in self.schemas and relation not in self.relations

    def arguments(self) -> tuple[str, ...]:
        """The selection as options of pg_dump; in double quotes its patterns are literal."""
        schemas = (f"--exclude-schema={quoted(schema)}" for schema in sorted(self.schemas))
        tables = (f"--exclude-table={quoted(r.schema)}.{quoted(r.name)}" for r in sorted(self.relations))
        return (*schemas, *tables)


def select(catalogue: Catalogue, options: DumpOptions) -> Selection:
    """Apply the filters. Raises ConfigurationError when something named to be dumped is not there."""
    tables, left_out = _parsed(options.tables), _parsed(options.exclude_tables)
    _check_present(catalogue, options.schemas, tables)

    def takes(schema: str) -> bool:
        return schema not in options.exclude_schemas and (not options.schemas or schema in options.schemas)

    def keeps(relation: Relation) -> bool:
        return takes(relation.schema) and (not tables or _named(relation, tables)) and not _named(relation, left_out)

    kept = {relation.schema for relation in catalogue.relations if keeps(relation)}
    # Where an extension lives stays: without its schema it could not be created.
    schemas = {s for s in catalogue.schemas - catalogue.homes if not takes(s) or (tables and s not in kept)}
    relations = {r for r in catalogue.relations if r.schema not in schemas and not keeps(r)}
    return Selection(frozenset(schemas), frozenset(relations))


def quoted(name: str) -> str:
    """The name as an SQL identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def _parsed(names: Iterable[str]) -> list[tuple[str | None, str]]:
    return [_parse(name) for name in names]


def _parse(name: str) -> tuple[str | None, str]:
    parts = NAME.fullmatch(name)
    if parts is None:
        raise ConfigurationError(
            f"'{name}' is not the name of a table",
            hint='write schema.table; a part that holds a dot stands in double quotes: public."a.b"',
        )
    schema, table = (
        part and (part[1:-1].replace('""', '"') if part.startswith('"') else part) for part in parts.groups()
    )
    return schema, table


def _named(relation: Relation, names: Sequence[tuple[str | None, str]]) -> bool:
    return (relation.schema, relation.name) in names or (None, relation.name) in names


def _check_present(catalogue: Catalogue, schemas: Iterable[str], tables: Iterable[tuple[str | None, str]]) -> None:
    missing = [f"schema '{schema}'" for schema in schemas if schema not in catalogue.schemas]
    missing += [
        f"table '{table}'" if schema is None else f"table '{schema}.{table}'"
        for schema, table in tables
        if not any(_named(relation, [(schema, table)]) for relation in catalogue.relations)
    ]
    if missing:
        raise ConfigurationError(
            f"the database has no {', no '.join(missing)}", hint="correct the job's schemas and tables"
        )
