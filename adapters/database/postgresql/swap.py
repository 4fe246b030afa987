"""Putting one database in another's place.

Both renames and everything the new one inherits happen in one transaction: there is no moment, and no crash, in
which neither bears the name. A rename needs the database to itself, so the sessions on the old one are ended first.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from adapters.database.postgresql.session import Connection
from core.errors import RestoreError, TargetExists

ATTEMPTS = 3  # clients that connect again at once can be quicker than the rename
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
LIST_SETTINGS = frozenset({"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"})
SETTINGS = """
SELECT r.rolname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting s
JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = %s
LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
"""
GRANTS = """
SELECT r.rolname, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
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
    """Rename a database. Raises TargetExists when the new name was taken meanwhile."""
    try:
        _rename(connection, name, free)
    except psycopg.errors.DuplicateDatabase:
        raise target_exists(free) from None


def replace(connection: Connection, name: str, new: str, old: str) -> None:
    """Give ``name`` to the database ``new``, and ``old`` to the one that bore it; all of it or nothing.

    The new one inherits owner, grants and settings, none of which are in a dump of a database's contents.
    """
    for _ in range(ATTEMPTS):
        connection.execute(END_SESSIONS, [name])
        try:
            with connection.transaction():
                _rename(connection, name, old)
                _inherit(connection, old, new)
                _rename(connection, new, name)
        except psycopg.errors.ObjectInUse:
            continue
        return
    raise RestoreError(
        f"the database '{name}' is in use, and its sessions could not be ended",
        hint="stop what uses it and restore again, or give --as NEWNAME",
    )


def target_exists(name: str) -> TargetExists:
    """The refusal to restore over a database unasked."""
    return TargetExists(
        f"a database named '{name}' exists already",
        hint="give --overwrite to replace it, or --as NEWNAME to restore beside it",
    )


def _rename(connection: Connection, name: str, new: str) -> None:
    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(new)))


def _inherit(connection: Connection, old: str, new: str) -> None:
    database = sql.Identifier(new)
    for statement in (*_owner(connection, old), *_grants(connection, old), *_settings(connection, old)):
        connection.execute(statement.format(database=database))


def _owner(connection: Connection, old: str) -> list[sql.SQL | sql.Composed]: ...
