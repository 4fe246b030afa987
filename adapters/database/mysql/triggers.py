"""Triggers that name their own database: ``CREATE TRIGGER `shop`.`guard` … ON `shop`.`orders` …``.

The server keeps that text as it was typed, and the dump tool writes it out. Loaded under another name, it would mean
the live database. So the name of the database is taken out on the way. That is certain where the beginning of the
statement, as far as the table's name, stands on one line and has no comment; other such triggers are refused.
"""

from __future__ import annotations

import re

from adapters.database.mysql.session import Connection, quoted
from core.errors import DumpError

NAME = r"(?:`(?:[^`]|``)+`|[\w$\x80-\xff]+)"
QUALIFIER = rf"(?:{NAME}[ \t]*\.[ \t]*)?"
HEAD = (
    rf"(?P<guard>TRIGGER[ \t]+(?:IF[ \t]+NOT[ \t]+EXISTS[ \t]+)?){QUALIFIER}(?P<name>{NAME})"
    rf"(?P<on>[ \t]+(?:BEFORE|AFTER)[ \t]+(?:INSERT|UPDATE|DELETE)[ \t]+ON[ \t]+){QUALIFIER}(?P<table>{NAME})(?=\s)"
)
DUMPED = re.compile(rf"^(?P<create>/\*!50003 CREATE\*/ [^\n]*?/\*!50003 ){HEAD}".encode("latin-1"), re.M | re.I)
STATED = re.compile(rf"CREATE (?:DEFINER=(?:`(?:[^`]|``)*`@?){{1,2}} )?{HEAD}", re.IGNORECASE)
QUOTED = re.compile(r"`(?:[^`]|``)*`")
TRIGGERS = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s ORDER BY TRIGGER_NAME"


def unqualified(text: bytes) -> bytes:
    """Whole lines of a dump, with triggers that do not name their database."""
    return DUMPED.sub(rb"\g<create>\g<guard>\g<name>\g<on>\g<table>", text)


def require_plain(connection: Connection, database: str) -> None:
    """Raise DumpError for triggers that name a database in a way that cannot be taken out with certainty."""
    found = [str(name) for (name,) in connection.rows(TRIGGERS, database)]
    names = [name for name in found if not _is_plain(_statement(connection, database, name))]
    if names:
        raise DumpError(
            f"triggers that name their own database cannot be dumped: {', '.join(names)}",
            hint="a restore under another name would act on the live database; create them anew without the database's "
            "name, as CREATE TRIGGER name … ON table …",
        )


def _statement(connection: Connection, database: str, name: str) -> str:
    (row,) = connection.rows(f"SHOW CREATE TRIGGER {quoted(database)}.{quoted(name)}")
    return str(row[2])


def _is_plain(statement: str) -> bool:
    head = re.split(r"\bFOR\s+EACH\s+ROW\b", QUOTED.sub("", statement), maxsplit=1, flags=re.IGNORECASE)[0]
    return STATED.match(statement) is not None or "." not in head
