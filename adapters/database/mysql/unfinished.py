"""Databases of restores that were killed. The mark is a table in each, for neither engine has a comment on a database.

A restore holds a lock of the server's by name for as long as it lives, and the server lets go of it with the session.
Who drops what a restore has left takes that lock first. What was replaced may hold the only copy of tables or code
until its mark says that the swap is complete; see :mod:`adapters.database.mysql.swap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pymysql

from adapters.database.beside import in_use, require_droppable
from adapters.database.mysql.session import Connection, database_names, quoted, table_beside_parameters
from core.unfinished import BUILT, NAME, Mark, UnfinishedDatabase, token_of

MARK = "dbackup_restore_"  # of a table's name and a lock's; the hexadecimal end of the database's name follows
UNDO = "dbackup_undo"
LONGEST_WAIT = 31_536_000  # seconds that a session may be silent, as many as the servers take
SIZES = """
SELECT TABLE_SCHEMA, CAST(SUM(DATA_LENGTH + INDEX_LENGTH) AS UNSIGNED) FROM information_schema.TABLES
GROUP BY TABLE_SCHEMA
"""
TABLE = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"


def is_mark(database: str, table: str) -> bool:
    """Whether a table is the mark of this database, and no part of what was dumped."""
    token = token_of(database)
    return bool(token) and table == MARK + token


def mark(connection: Connection, made: Mark) -> None:
    """Mark a database that is being built."""
    table = MARK + token_of(made.database)
    connection.rows(f"CREATE TABLE {quoted(made.database)}.{quoted(table)} (id INT PRIMARY KEY, mark TEXT NOT NULL)")
    where = table_beside_parameters(made.database, table)
    connection.rows(f"INSERT INTO {where} VALUES (1, %s)", str(made))  # noqa: S608


def hold(connection: Connection, name: str) -> None:
    """Show on this session, for as long as it lasts, that the restore into this database lives."""
    connection.rows(f"SET SESSION wait_timeout = {LONGEST_WAIT}")
    with suppress(pymysql.Error):  # a cluster may have no such locks; then only the mark's age tells
        connection.rows("SELECT GET_LOCK(%s, 0)", MARK + token_of(name))


def unfinished(connection: Connection) -> Iterator[UnfinishedDatabase]:
    """What restores have made here, of living ones too."""
    sizes = {str(name): int(size or 0) for name, size in connection.rows(SIZES)}
    for name in database_names(connection):
        if token := token_of(name):
            found, precious = _mark(connection, name)
            yield UnfinishedDatabase(name, sizes.get(name, 0), found, _is_held(connection, token), precious)


def drop(connection: Connection, name: str) -> None:
    """Drop one of them. Raises AdapterError for one that must stay."""
    with _only_us(connection, name):
        require_droppable(name, (one for one in _free(connection) if one.name == name))
        connection.rows("SET SESSION foreign_key_checks = 0")
        connection.rows(f"DROP DATABASE IF EXISTS {quoted(name)}")


def _free(connection: Connection) -> Iterator[UnfinishedDatabase]:
    """What there is, with nobody in it but us, who hold the lock."""
    return (replace(one, in_use=False) for one in unfinished(connection))


@contextmanager
def _only_us(connection: Connection, name: str) -> Iterator[None]:
    lock = MARK + token_of(name)
    try:
        ((taken,),) = connection.rows("SELECT GET_LOCK(%s, 0)", lock)
    except pymysql.Error:
        taken = None
    if taken == 0:
        raise in_use(name)
    try:
        yield
    finally:
        with suppress(pymysql.Error):
            connection.rows("SELECT RELEASE_LOCK(%s)", lock)


def _is_held(connection: Connection, token: str) -> bool:
    with suppress(pymysql.Error):
        ((holder,),) = connection.rows("SELECT IS_USED_LOCK(%s)", MARK + token)
        return holder is not None
    return False


def _mark(connection: Connection, name: str) -> tuple[Mark | None, str]:
    """A database's mark, and why it must stay."""
    found = NAME.search(name)
    built = found is not None and found[1] == BUILT
    table = MARK + token_of(name) if built else UNDO
    if not connection.rows(TABLE, name, table):
        return None, ""
    where = f"{quoted(name)}.{quoted(table)}"
    try:
        rows = connection.rows(f"SELECT mark{'' if built else ', complete'} FROM {where}")  # noqa: S608
    except pymysql.Error:  # a table of somebody else's, or of an older version of ours
        return None, ""
    if len(rows) != 1:
        return None, ""
    made = Mark.read(str(rows[0][0]), name)
    return made, "" if made is None or built or rows[0][1] else _cut(made)


def _cut(made: Mark) -> str:
    return (
        f"the swap that put it aside was cut, and it may hold the only copy of tables or code of '{made.target}'; "
        "how to put them back stands in the page about MySQL: When a swap was cut"
    )
