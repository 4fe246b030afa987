"""Putting one database in another's place.

Both renames and everything the new one inherits happen in one transaction: there is no moment, and no crash, in
which neither bears the name. A rename needs the database to itself, so the sessions on the old one are ended first.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from adapters.database.beside import target_exists
from adapters.database.postgresql.session import Connection
from adapters.database.postgresql.unfinished import comment
from core.errors import RestoreError
from core.unfinished import Mark

ATTEMPTS = 3  # clients that connect again at once can be quicker than the rename
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
LISTS = frozenset({"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"})
OWNER = """
SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
WHERE d.datname = %s AND r.rolname <> current_user
"""
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
GRANTS = """
SELECT r.rolname, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s
"""
SETTINGS = """
SELECT r.rolname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting s
JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
WHERE d.datname = %s
"""


def exists(connection: Connection, name: str) -> bool:
    """Whether the server has a database of this name."""
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def drop(connection: Connection, name: str) -> None:
    """Drop a database, ending what is connected to it."""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def try_to_drop(connection: Connection, name: str) -> bool:
    """Drop a database that nobody needs any more. False when it is still there."""
    try:
        drop(connection, name)
    except psycopg.Error:
        return False
    return True


def rename_to_free(connection: Connection, name: str, free: str) -> None:
    """Rename a database, and take its mark away. Raises TargetExists when the new name was taken meanwhile."""
    try:
        with connection.transaction():
            connection.execute(comment(name, None))
            _rename(connection, name, free)
    except psycopg.errors.DuplicateDatabase:
        raise target_exists(free) from None


def replace(connection: Connection, name: str, new: str, old: Mark) -> None:
    """Give ``name`` to the database ``new``, and the name of ``old`` to the one that bore it; all of it or nothing.

    The new one inherits owner, comment, grants and settings, none of which are in a dump of a database's contents.
    """
    for _ in range(ATTEMPTS):
        connection.execute(END_SESSIONS, [name])
        try:
            with connection.transaction():
                _rename(connection, name, old.database)
                for statement in _inheritance(connection, old.database, new):
                    connection.execute(statement)
                connection.execute(comment(old.database, str(old)))
                _rename(connection, new, name)
        except psycopg.errors.ObjectInUse:
            continue
        return
    raise RestoreError(
        f"the database '{name}' is in use, and its sessions could not be ended",
        hint="stop what uses it and restore again, or give --as NEWNAME",
    )


def _rename(connection: Connection, name: str, new: str) -> None:
    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(new)))


def _inheritance(connection: Connection, old: str, new: str) -> Iterator[sql.Composed]:
    database = sql.Identifier(new)
    ((text,),) = connection.execute(COMMENT, [old]).fetchall()
    yield comment(new, text)
    for (owner,) in connection.execute(OWNER, [old]).fetchall():
        yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(owner))
    grants = connection.execute(GRANTS, [old]).fetchall()
    if grants:
        yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database)
    for role, privilege, grantable in grants:
        yield _grant(database, role, privilege, grantable=grantable)
    for role, name, value in connection.execute(SETTINGS, [old]).fetchall():
        yield _setting(database, role, name, value)


def _grant(database: sql.Identifier, role: str | None, privilege: str, *, grantable: bool) -> sql.Composed:
    """A grant to a role, or to everybody; ``privilege`` is the server's own word for it."""
    grantee = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
    option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
    return sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(_trusted(privilege), database, grantee, option)


def _setting(database: sql.Identifier, role: str | None, name: str, value: str) -> sql.Composed:
    """A setting of the database, or of one role in it. The server keeps lists with their parts quoted."""
    written = _trusted(value) if name in LISTS and value else sql.Literal(value)
    setting = sql.SQL(".").join(sql.Identifier(part) for part in name.split("."))
    if role is None:
        return sql.SQL("ALTER DATABASE {} SET {} TO {}").format(database, setting, written)
    return sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} TO {}").format(sql.Identifier(role), database, setting, written)


def _trusted(text: str) -> sql.SQL:
    """SQL that the server itself has written into its catalogue."""
    return sql.SQL(text)
