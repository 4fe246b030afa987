"""Databases of restores that were killed. The mark is the database's comment, which nobody's dump carries on.

A restore holds a session in what it builds, and PostgreSQL drops no database that a session is in: so one whose
restore lives cannot be dropped, whoever tries. What was replaced is only dropped while its target exists.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from adapters.database.beside import in_use, require_droppable
from adapters.database.postgresql.session import Connection
from core.unfinished import NAME, REPLACED, Mark, UnfinishedDatabase

FOUND = """
SELECT d.datname, CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
       shobj_description(d.oid, 'pg_database'),
       EXISTS (SELECT FROM pg_stat_activity a
               WHERE a.datid = d.oid AND coalesce(a.backend_type, 'client backend') = 'client backend')
FROM pg_database d WHERE d.datname ~ '__(dbackup|old)_[0-9a-f]{8}$' ORDER BY d.datname
"""
EXISTS = "SELECT FROM pg_database WHERE datname = %s"


def comment(database: str, text: str | None) -> sql.Composed:
    """Give the database this comment, or none."""
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(text))


def unfinished(connection: Connection) -> Iterator[UnfinishedDatabase]:
    """What restores have made here, of living ones too."""
    for name, size, text, used in connection.execute(FOUND).fetchall():
        mark = Mark.read(text, name)
        yield UnfinishedDatabase(name, size, mark, used, _precious(connection, mark) if mark else "")


def drop(connection: Connection, name: str) -> None:
    """Drop one of them. Raises AdapterError for one that must stay."""
    require_droppable(name, unfinished(connection))
    try:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    except psycopg.errors.ObjectInUse:
        raise in_use(name) from None


def _precious(connection: Connection, mark: Mark) -> str:
    found = NAME.search(mark.database)
    if found and found[1] == REPLACED and connection.execute(EXISTS, [mark.target]).fetchone() is None:
        return (
            f"it is what '{mark.target}' was, and there is no '{mark.target}' now; to put it back: "
            f'ALTER DATABASE "{mark.database}" RENAME TO "{mark.target}"'
        )
    return ""
