"""Insert, or change what is there already, in one statement: SQLite and PostgreSQL both can, each in its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models import Table

_INSERT: Mapping[str, Callable[[type[Table]], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_into(session: Session, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return _INSERT[session.get_bind().dialect.name](table)
