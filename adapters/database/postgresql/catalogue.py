"""What a database holds: its tables, how many rows they have, and the roles they need.

Everything is asked on a connection that is given, so that a dump asks on its own snapshot. What belongs to an
extension is left out: ``CREATE EXTENSION`` brings it, not the dump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event

from psycopg import sql

from adapters.database.postgresql.selection import Catalogue, Relation
from adapters.database.postgresql.session import Connection
from core.manifest import Contents

TABLE, PARTITIONED, FOREIGN = "r", "p", "f"

SCHEMAS = """
SELECT nspname, EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
FROM pg_namespace n
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
"""
RELATIONS = """
SELECT n.nspname, c.relname, c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
# The dependencies on roles, which name owners, grants and policies. The first superuser is in none of them, because
# it cannot be dropped, so what it owns is looked up.
ROLES = """
WITH owned (class, object, owner) AS (
    SELECT 'pg_class'::regclass, c.oid, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.typowner FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION ALL
    SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
    UNION ALL
    SELECT 'pg_largeobject_metadata'::regclass, oid, lomowner FROM pg_largeobject_metadata
), needed (role) AS (
    SELECT refobjid FROM pg_shdepend
    WHERE refclassid = 'pg_authid'::regclass
      AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION
    SELECT owner FROM owned o
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.object AND d.deptype = 'e')
)
SELECT rolname FROM needed JOIN pg_roles r ON r.oid = needed.role WHERE rolname !~ '^pg_' ORDER BY rolname
"""
HasToBeExact = Callable[[str, int], bool]  # of a table's key and its estimated rows


def read(connection: Connection) -> Catalogue:
    """The schemas and relations of the database's users."""
    schemas = connection.execute(SCHEMAS).fetchall()
    relations = connection.execute(RELATIONS).fetchall()
    return Catalogue(
        frozenset(name for name, _ in schemas),
        frozenset(name for name, home in schemas if home),
        tuple(Relation(*row) for row in relations),
    )


def measure(
    connection: Connection, relations: Iterable[Relation], exact: HasToBeExact, stopped: Event | None = None
) -> Contents:
    """Count the rows of these tables, exactly where ``exact`` says so, and name the roles of the database.

    ``stopped`` is looked at before each table; what is given after it was set is of no use to anybody.
    """
    roles = tuple(role for (role,) in connection.execute(ROLES))
    tables = [relation for relation in relations if relation.kind in (TABLE, PARTITIONED, FOREIGN)]
    rows: dict[str, int] = {}
    estimated: list[str] = []
    for table in tables:
        if stopped is not None and stopped.is_set():
            break
        if table.kind != TABLE:
            continue  # its partitions are counted; a foreign table's rows are not in the dump
        estimate = _estimate(connection, table)
        if exact(table.key, estimate):
            rows[table.key] = _count(connection, table)
        else:
            rows[table.key] = estimate
            estimated.append(table.key)
    return Contents(tables=len(tables), rows=rows, estimated=tuple(estimated), roles=roles)


def _estimate(connection: Connection, table: Relation) -> int:
    # The planner's own: it holds for tables that were never analysed, and for those that grew since.
    ((plan,),) = connection.execute(_of("EXPLAIN (FORMAT JSON) SELECT FROM ONLY {}", table)).fetchall()
    return int(plan[0]["Plan"]["Plan Rows"])


def _count(connection: Connection, table: Relation) -> int:
    ((rows,),) = connection.execute(_of("SELECT count(*) FROM ONLY {}", table)).fetchall()
    return int(rows)


def _of(statement: str, table: Relation) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table.schema, table.name))
