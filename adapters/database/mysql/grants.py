"""Grants on single routines: the server forgets them with the routine, so who drops one to write it anew keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pymysql
from pymysql.constants import ER

from adapters.database.mysql.session import FORBIDDEN, GONE, Connection, quoted
from core.log import logger

log = logger(engine="mysql")
GRANTS = "SELECT User, Host, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv WHERE Db = %s"
UNREADABLE = "grants on single routines, which the user may not read, are lost"


class Grant(NamedTuple):
    """What somebody may do with one routine. ``host`` is empty for a role, ``rights`` as in ``mysql.procs_priv``."""

    user: str
    host: str
    routine: str
    kind: str
    rights: str


def on_routines(connection: Connection, database: str) -> list[Grant] | None:
    """The grants on each routine of a database, or None where the user may not read them."""
    try:
        return [Grant(*map(str, row)) for row in connection.rows(GRANTS, database)]
    except pymysql.MySQLError as refusal:
        if refusal.args[0] not in FORBIDDEN:
            raise
        return None


def give_again(connection: Connection, database: str, grants: Iterable[Grant] | None) -> list[str]:
    """Give the grants on routines that there still are. What could not be given is said, and logged."""
    if grants is None:
        return [UNREADABLE]
    lost = [f"{one.user} on {one.routine}" for one in grants if not _given(connection, database, one)]
    if lost:
        log.warning("grants on routines could not be given again", database=database, lost=lost)
    return [f"grants on routines that could not be given again: {', '.join(lost)}"] if lost else []


def _given(connection: Connection, database: str, grant: Grant) -> bool:
    """Whether the grant holds, or has lost its routine."""
    rights = {right.strip().upper() for right in grant.rights.split(",")}
    to = connection.escape(grant.user) + (f"@{connection.escape(grant.host)}" if grant.host else "")
    option = " WITH GRANT OPTION" if "GRANT" in rights else ""
    what = ", ".join(sorted(rights - {"GRANT"})) or "USAGE"
    routine = f"{quoted(database)}.{quoted(grant.routine)}"
    try:
        connection.rows(f"GRANT {what} ON {grant.kind} {routine} TO {to}{option}")
    except pymysql.MySQLError as refusal:
        if refusal.args[0] in GONE:
            raise
        return bool(refusal.args[0] == ER.SP_DOES_NOT_EXIST)
    return True
