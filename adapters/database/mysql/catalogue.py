"""What a database holds, and what its users need: asked on a session that is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from adapters.database.mysql.session import Connection, quoted
from core.errors import ConfigurationError, DumpError
from core.manifest import Contents
from core.ports import DumpOptions

BASE, VERSIONED, VIEW = "BASE TABLE", "SYSTEM VERSIONED", "VIEW"
RELATIONS = """
SELECT t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, COALESCE(e.TRANSACTIONS, 'NO'), t.TABLE_ROWS
FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = %s ORDER BY t.TABLE_NAME
"""
DEFINERS = """
SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""
CODE = """
SELECT 'views', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
UNION ALL SELECT 'triggers', EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
UNION ALL SELECT 'routines', NULL FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
UNION ALL SELECT 'events', NULL FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""
DEFAULTS = """
SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s
"""
PRIVILEGES = """
SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s
UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = %s AND %s LIKE TABLE_SCHEMA
"""
PROC = """
SELECT 1 FROM information_schema.TABLE_PRIVILEGES
WHERE GRANTEE = %s AND TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'proc' AND PRIVILEGE_TYPE = 'SELECT'
"""
SEQUENCED = """
SELECT DISTINCT TABLE_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND COLUMN_DEFAULT NOT LIKE '''%%' AND COLUMN_DEFAULT REGEXP '(next|last|set)val[(]`'
"""
IN_A_ZONE = """
SELECT g.TABLE_NAME, g.COLUMN_NAME FROM information_schema.COLUMNS g JOIN information_schema.COLUMNS t
ON t.TABLE_SCHEMA = g.TABLE_SCHEMA AND t.TABLE_NAME = g.TABLE_NAME AND t.DATA_TYPE = 'timestamp'
AND LOCATE(CONCAT('`', REPLACE(t.COLUMN_NAME, '`', '``'), '`'), g.GENERATION_EXPRESSION)
WHERE g.TABLE_SCHEMA = %s AND g.EXTRA LIKE '%%STORED GENERATED%%' GROUP BY 1, 2 ORDER BY 1, 2
"""
NEEDED = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
SHOWN = 10  # names in one note
PARTIAL = "filters of the job left a part of the database out"
HISTORY = "the past of system-versioned tables is not in the dump"
ROLE = "the user's rights come from a role: what the role may not see is not in the dump"
HIDDEN = "routines that the user may not see are not in the dump: it cannot read mysql.proc"


class Relation(NamedTuple):
    """A table, view or sequence."""

    name: str
    kind: str
    engine: str | None
    transactions: str
    rows: int | None

    @property
    def is_table(self) -> bool:
        """Whether it holds rows of its own."""
        return self.kind in (BASE, VERSIONED)


def relations(connection: Connection, database: str) -> list[Relation]:
    """Everything that has a name among the tables, in its order."""
    return [Relation(*row) for row in connection.rows(RELATIONS, database)]


def of_kind(connection: Connection, database: str, kind: str) -> list[str]:
    """The names of one kind only."""
    return [one.name for one in relations(connection, database) if one.kind == kind]


def defaults(connection: Connection, database: str) -> tuple[str, str]:
    """The database's own character set and collation."""
    ((character_set, collation),) = connection.rows(DEFAULTS, database)
    return str(character_set), str(collation)


def definers(connection: Connection, database: str) -> tuple[str, ...]:
    """Who defined its views, triggers, routines and events: ``user@host``."""
    return tuple(sorted(str(name) for (name,) in connection.rows(DEFINERS, *[database] * 4) if name))


def code(connection: Connection, database: str, left_out: Container[str] = ()) -> dict[str, int]:
    """How many views, triggers, routines and events there are, but for those of what is left out."""
    found = Counter(kind for kind, of in connection.rows(CODE, *[database] * 4) if of not in left_out)
    return {kind: found[kind] for kind in ("views", "triggers", "routines", "events")}


def left_out(found: Iterable[Relation], options: DumpOptions) -> list[str]:
    """The tables and views that the filters leave out. Raises ConfigurationError for a filter that cannot be."""
    if options.schemas or options.exclude_schemas:
        raise ConfigurationError(
            "a schema is a database here, so there are no schemas within one",
            hint="remove the schemas from the job; name tables, or other databases",
        )
    names = [relation.name for relation in found]
    if missing := sorted({*options.tables, *options.exclude_tables} - set(names)):
        raise ConfigurationError(
            f"the database has no table {', no table '.join(repr(name) for name in missing)}",
            hint="correct the job's tables: names as they are, without the database's",
        )
    return [n for n in names if (options.tables and n not in options.tables) or n in options.exclude_tables]


def privileges(connection: Connection, database: str) -> set[str]:
    """What the user may do in a database of this name, by grants on it or on everything."""
    grantee = _grantee(connection)
    return {str(name) for (name,) in connection.rows(PRIVILEGES, grantee, grantee, database)}


def require_dumpable(connection: Connection, kept: Iterable[Relation], database: str) -> None:
    """Raise DumpError for tables that the tool dumps in a form that the server does not take back.

    MariaDB keeps the name of the database in a default that draws from a sequence, also when table and sequence move to
    another database. MySQL has no sequences.
    """
    if not connection.is_mariadb:
        return
    names = {str(name) for (name,) in connection.rows(SEQUENCED, database)} & {one.name for one in kept}
    if names:
        raise DumpError(
            f"tables with a sequence as a column's default cannot be dumped: {', '.join(sorted(names)[:SHOWN])}",
            hint="restored under another name they would draw from the live database's sequence; use AUTO_INCREMENT or "
            "a trigger, or leave them out with the job's exclude_tables",
        )


def require_sight(connection: Connection, database: str) -> Iterator[str]:
    """Give a note for what may be hidden from the user. Raises DumpError where something surely may be.

    The server does not refuse to show what a user may not see: it leaves it out, and so would the dump.
    """
    missing = [name for name in NEEDED if name not in privileges(connection, database)]
    if missing and has_role(connection):
        yield ROLE
    elif missing:
        raise DumpError(
            f"the user may not see everything in '{database}', so the dump could have holes: "
            f"it has no {', no '.join(missing)}",
            hint=f"GRANT {', '.join(NEEDED)} ON {quoted(database)}.* to the user",
        )
    if not missing and not _sees_routines(connection):
        yield HIDDEN


def notes(kept: Iterable[Relation]) -> Iterator[str]:
    """What a person should know about a dump of these."""
    kept = list(kept)
    loose = [f"{one.name} ({one.engine})" for one in kept if one.is_table and one.transactions != "YES"]
    if loose:
        more = f" and {len(loose) - SHOWN} more" if len(loose) > SHOWN else ""
        yield f"not consistent: tables without transactions, read one after the other: {', '.join(loose[:SHOWN])}{more}"
    if any(one.kind == VERSIONED for one in kept):
        yield HISTORY


def computed_in_utc(connection: Connection, kept: Iterable[Relation], database: str) -> Iterator[str]:
    """Give a note for stored columns whose values a restore may change: it computes them anew, in UTC."""
    names = {one.name for one in kept}
    columns = [f"{table}.{column}" for table, column in connection.rows(IN_A_ZONE, database) if table in names]
    if columns:
        yield f"generated from a TIMESTAMP and stored, so a restore computes them in UTC: {', '.join(columns[:SHOWN])}"


def counted(connection: Connection, database: str, expected: Contents | None, ours: Callable[[str], bool]) -> Contents:
    """What a database holds: every row counted, but for tables that ``expected`` has only estimated.

    Tables that are ``ours``, by their names, are left out.
    """
    estimated = set(expected.estimated) if expected else set()
    tables = [one for one in relations(connection, database) if one.is_table and not ours(one.name)]
    rows = {
        one.name: int(one.rows or 0) if one.name in estimated else _count(connection, database, one.name)
        for one in tables
    }
    return Contents(tables=len(tables), rows=rows, estimated=tuple(sorted(estimated & set(rows))))


def _count(connection: Connection, database: str, table: str) -> int:
    ((rows,),) = connection.rows(f"SELECT COUNT(*) FROM {quoted(database)}.{quoted(table)}")  # noqa: S608
    return int(rows)


def has_role(connection: Connection) -> bool:
    """Whether the session has rights from a role, which no table of privileges lists."""
    if not connection.is_mariadb and connection.version.startswith("5."):
        return False
    ((role,),) = connection.rows("SELECT CURRENT_ROLE()")
    return role not in (None, "NONE")


def _sees_routines(connection: Connection) -> bool:
    if privileges(connection, "mysql") & {"SELECT", "SHOW_ROUTINE"}:
        return True
    return bool(connection.rows(PROC, _grantee(connection)))


def _grantee(connection: Connection) -> str:
    """The user as the tables of privileges name it: who may read them all sees those of others, too."""
    ((account,),) = connection.rows("SELECT CURRENT_USER()")
    user, _, host = str(account).rpartition("@")
    return f"'{user}'@'{host}'"
