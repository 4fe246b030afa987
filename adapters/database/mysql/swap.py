"""Putting what was loaded beside into the target's place.

Neither engine can rename a database, and a table with triggers cannot leave its database. So the tables change places
in one RENAME TABLE, which the server does whole or not at all, and the code around them (views, triggers, routines,
events) is written anew, first dropped and then run as a script of the dump tool's. Whatever fails on the way is undone:
the old tables go back, and so does the old code. An answer that was lost says nothing about what the server has done,
so the session it was lost on is ended first, and then the server is asked where the tables are. Should our own process
die midway, the old tables and a table ``dbackup_undo`` with the old code as SQL are in the database
``<name>__old_<hex>``; that table says, too, whether the new ones were complete by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pymysql

from adapters.database.beside import beside, target_exists
from adapters.database.mysql import catalogue, grants
from adapters.database.mysql.grants import Grant
from adapters.database.mysql.session import Connection, end_session, quoted, table_beside_parameters, translated
from adapters.database.mysql.unfinished import UNDO, is_mark
from core.errors import DBackupError, RestoreError
from core.unfinished import REPLACED, Mark, token_of

NAME_LENGTH = 64  # characters
RECORD = "id INT PRIMARY KEY, script LONGBLOB NOT NULL, mark TEXT NOT NULL, complete BOOLEAN NOT NULL"
CODE = {
    "TRIGGER": "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
    "VIEW": "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s",
    "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s",
    "PROCEDURE": "SELECT ROUTINE_NAME FROM information_schema.ROUTINES "
    "WHERE ROUTINE_SCHEMA = %s AND ROUTINE_TYPE = 'PROCEDURE'",
    "FUNCTION": "SELECT ROUTINE_NAME FROM information_schema.ROUTINES "
    "WHERE ROUTINE_SCHEMA = %s AND ROUTINE_TYPE = 'FUNCTION'",
}
TRIGGERS = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"
REFERRING = """
SELECT DISTINCT CONSTRAINT_SCHEMA FROM information_schema.REFERENTIAL_CONSTRAINTS
WHERE UNIQUE_CONSTRAINT_SCHEMA = %s AND CONSTRAINT_SCHEMA <> %s
"""
Moves = list[tuple[str, str, str]]  # from a database, to a database, a table


@dataclass(frozen=True)
class Scripts:
    """How the code of a database is read (with its events or without) and run in one; the client tools do both.

    ``guards`` reads the triggers of one table. ``connect`` opens a new session, for when the one in use has broken.
    """

    read: Callable[[str, bool], bytes]
    guards: Callable[[str, str], bytes]
    run: Callable[[str, bytes], None]
    connect: Callable[[], Connection]


@dataclass(frozen=True)
class Exchange:
    """What is to be undone: ``new`` takes the place of ``name``, whose tables go to ``old``.

    ``arriving`` are the tables of ``new``; ``triggers`` those of ``name``, each after its table, and ``guards`` has the
    script of each such table. ``granted`` are the grants on its routines, if known. ``session`` is the server's number
    of the session that all this is done on.
    """

    name: str
    new: str
    old: str
    arriving: Sequence[str]
    triggers: Sequence[tuple[str, str]]
    guards: Mapping[str, bytes]
    granted: Sequence[Grant] | None
    session: int


def exists(connection: Connection, name: str) -> bool:
    """Whether the user can see a database of this name."""
    return (name,) in connection.rows("SHOW DATABASES")


def create(connection: Connection, name: str, defaults: tuple[str, str] | None) -> None:
    """Create a database with this character set and collation, or with the server's own."""
    options = " CHARACTER SET {} COLLATE {}".format(*map(quoted, defaults)) if defaults else ""
    connection.rows(f"CREATE DATABASE {quoted(name)}{options}")


def drop(connection: Connection, name: str) -> None:
    """Drop a database."""
    connection.rows("SET SESSION foreign_key_checks = 0")
    connection.rows(f"DROP DATABASE IF EXISTS {quoted(name)}")


def require_unreferenced(connection: Connection, name: str) -> None:
    """Raise RestoreError when tables elsewhere refer to the database: they would follow the old tables."""
    referring = [str(other) for (other,) in connection.rows(REFERRING, name, name)]
    if referring:
        raise RestoreError(
            f"foreign keys of other databases refer to '{name}': {', '.join(sorted(referring))}",
            hint="drop those foreign keys first, or give --as NEWNAME",
        )


def place(connection: Connection, scripts: Scripts, new: str, name: str, events: bytes) -> None:
    """Give what is in ``new`` to a database ``name`` that must not exist. Raises TargetExists, RestoreError."""
    code = scripts.read(new, False) + events
    try:
        create(connection, name, catalogue.defaults(connection, new))
    except pymysql.err.ProgrammingError:
        raise target_exists(name) from None
    session = connection.session
    try:
        _drop_code(connection, new, ["TRIGGER"])
        _move(connection, [(new, name, table) for table in _tables(connection, new)])
        scripts.run(name, code)
    except BaseException as failure:
        _discard(scripts, name, session, failure)
        raise
    drop(connection, new)


def replace(connection: Connection, scripts: Scripts, made: Mark, events: bytes) -> list[str]:
    """Give what is in the marked database to its target, and the old tables and code to one that is then dropped.

    Gives what a person should know: an old database that could not be dropped, grants that are lost. Raises
    RestoreError or ConnectionError, after the old database has been put back.
    """
    new, name = made.database, made.target
    code, former = scripts.read(new, False) + events, scripts.read(name, True)
    triggers, arriving = _triggers(connection, name), _tables(connection, new)
    guards = {table: scripts.guards(name, table) for table in dict(triggers)}
    granted = grants.on_routines(connection, name)
    old = beside(name, REPLACED, NAME_LENGTH, token=token_of(new))
    exchange = Exchange(name, new, old, arriving, triggers, guards, granted, connection.session)
    _record(connection, Mark.now(old, name, made.run), catalogue.defaults(connection, name), former)
    away = [(name, old, table) for table in _tables(connection, name)]
    moved = False
    try:
        _drop_code(connection, new, ["TRIGGER"])
        _drop_code(connection, name, ["TRIGGER"])
        _move(connection, [*away, *((new, name, table) for table in exchange.arriving)])
        moved = True
        _drop_code(connection, name, CODE)
        _set_defaults(connection, name, catalogue.defaults(connection, new))
        scripts.run(name, code)
        remarks = grants.give_again(connection, name, granted)
        connection.rows(f"UPDATE {quoted(old)}.{quoted(UNDO)} SET complete = TRUE")  # noqa: S608
    except BaseException as failure:
        _undo(scripts, exchange, failure, moved=moved)
        raise
    drop(connection, new)
    if not _try_to_drop(connection, old):
        remarks.append(f"the old one could not be dropped: '{old}'")
    return remarks


def _discard(scripts: Scripts, name: str, session: int, failure: BaseException) -> None:
    """Drop the database that we have made for nothing, on a new session: the old one may be broken."""
    try:
        with scripts.connect() as connection, translated(RestoreError):
            end_session(connection, session)
            drop(connection, name)
    except DBackupError as second:
        raise RestoreError(
            f"'{name}' could not be restored ({failure}), and what has been made of it not be dropped ({second})",
            hint=f"look into the database '{name}', then drop it",
        ) from None


def _undo(scripts: Scripts, exchange: Exchange, failure: BaseException, *, moved: bool) -> None:
    """Put the old tables and the old code back. What cannot be put back is said, and stays where it is."""
    old = exchange.old
    try:
        with scripts.connect() as connection, translated(RestoreError):
            end_session(connection, exchange.session)
            moves = _way_back(connection, exchange)
            if moved or moves:
                _put_back(connection, scripts, exchange, moves)
            else:  # all that has been done is to drop triggers
                _guard_again(connection, scripts, exchange)
            _drop_record(connection, old)
    except DBackupError as second:
        raise RestoreError(
            f"'{exchange.name}' could not be replaced ({failure}), and not be put back as it was ({second})",
            hint=f"its old tables are in the database '{old}', where {UNDO} holds its views, triggers, routines and "
            "events as SQL",
        ) from None


def _way_back(connection: Connection, exchange: Exchange) -> Moves:
    """What has moved, the other way round, as the server knows it: in this order no name is taken."""
    waiting = set(_tables(connection, exchange.new))
    arrived = [(exchange.name, exchange.new, table) for table in exchange.arriving if table not in waiting]
    gone = [(exchange.old, exchange.name, table) for table in _tables(connection, exchange.old) if table != UNDO]
    return [*arrived, *gone]


def _put_back(connection: Connection, scripts: Scripts, exchange: Exchange, moves: Moves) -> None:
    where = f"{quoted(exchange.old)}.{quoted(UNDO)}"
    ((former,),) = connection.rows(f"SELECT script FROM {where}")  # noqa: S608
    _drop_code(connection, exchange.name, CODE)
    _move(connection, moves)
    _set_defaults(connection, exchange.name, catalogue.defaults(connection, exchange.old))
    scripts.run(exchange.name, bytes(former))
    grants.give_again(connection, exchange.name, exchange.granted)


def _guard_again(connection: Connection, scripts: Scripts, exchange: Exchange) -> None:
    """Create the triggers of those tables that have lost one; others may still be in use, and are not touched."""
    left = _triggers(connection, exchange.name)
    for table in sorted({table for table, _ in set(exchange.triggers) - set(left)}):
        for trigger in (trigger for guarded, trigger in left if guarded == table):
            connection.rows(f"DROP TRIGGER {quoted(exchange.name)}.{quoted(trigger)}")
        scripts.run(exchange.name, exchange.guards[table])


def _drop_record(connection: Connection, old: str) -> None:
    """Drop the database for the old tables, unless there are any."""
    if tables := [table for table in _tables(connection, old) if table != UNDO]:
        raise RestoreError(f"the database '{old}' still holds {', '.join(tables)}")
    drop(connection, old)


def _triggers(connection: Connection, database: str) -> list[tuple[str, str]]:
    """Each trigger, after its table."""
    return [(str(table), str(trigger)) for table, trigger in connection.rows(TRIGGERS, database)]


def _record(connection: Connection, old: Mark, settings: tuple[str, str], script: bytes) -> None:
    """Make the database for the old tables, with the old code in it: all of it, or nothing is left."""
    where = f"{quoted(old.database)}.{quoted(UNDO)}"
    create(connection, old.database, settings)
    try:
        connection.rows(f"CREATE TABLE {where} ({RECORD})")
        record = table_beside_parameters(old.database, UNDO)
        connection.rows(f"INSERT INTO {record} VALUES (1, %s, %s, FALSE)", script, str(old))  # noqa: S608
    except BaseException:
        drop(connection, old.database)
        raise


def _move(connection: Connection, moves: Moves) -> None:
    """Move tables between databases: all of them, or none."""
    if moves:
        each = (f"{quoted(a)}.{quoted(table)} TO {quoted(b)}.{quoted(table)}" for a, b, table in moves)
        connection.rows(f"RENAME TABLE {', '.join(each)}")


def _drop_code(connection: Connection, database: str, kinds: Iterable[str]) -> None:
    for kind in kinds:
        for (name,) in connection.rows(CODE[kind], database):
            connection.rows(f"DROP {kind} IF EXISTS {quoted(database)}.{quoted(str(name))}")


def _tables(connection: Connection, database: str) -> list[str]:
    """What is renamed: everything but views, and our mark."""
    found = (one for one in catalogue.relations(connection, database) if one.kind != catalogue.VIEW)
    return [one.name for one in found if not is_mark(database, one.name)]


def _set_defaults(connection: Connection, database: str, defaults: tuple[str, str]) -> None:
    options = " CHARACTER SET {} COLLATE {}".format(*map(quoted, defaults))
    connection.rows(f"ALTER DATABASE {quoted(database)}{options}")


def _try_to_drop(connection: Connection, name: str) -> bool:
    try:
        drop(connection, name)
    except pymysql.Error:
        return False
    return True
