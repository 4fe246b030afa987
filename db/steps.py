"""Few values among many rows, each found by one step in an index instead of a look at every row."""

from __future__ import annotations

from sqlalchemy import CTE, ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute


def each(column: InstrumentedAttribute[str], *conditions: ColumnElement[bool]) -> CTE:
    """Every value of a column in the rows that fit, as ``value``, and a last row without one.

    An index has to begin with what the conditions compare, and go on with the column.
    """
    first = select(func.min(column).label("value")).where(*conditions).cte("steps", recursive=True)
    following = select(func.min(column)).where(column > first.c.value, *conditions).correlate(first)
    return first.union_all(select(following.scalar_subquery()).where(first.c.value.is_not(None)))
