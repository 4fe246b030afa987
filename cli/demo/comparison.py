"""Whether the restored shop is the shop as it was at one moment, although customers went on ordering.

Tables only grow, orders are numbered without a gap, and each order is one transaction with its lines. So the copy
is one moment's state exactly when it has the rows that the backup counted, each equal to the original's row with the
same key, orders up to some number without a gap, and lines that add up to each order's total.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cli.addresses import path_url
from cli.demo.shop import TABLES
from core.errors import ComparisonFailed


@dataclass(frozen=True)
class Compared:
    """One table: rows as the backup counted them, rows that came back, and rows that the original has by now."""

    table: str
    counted: int
    restored: int
    now: int
    differing: int  # rows that came back and are not in the original just so

    @property
    def good(self) -> bool:
        """Whether the table came back as it was."""
        return self.counted == self.restored and not self.differing


_BROKEN = {
    "orders whose lines do not add up": """
        SELECT count(*) FROM copy.orders o WHERE total_cents IS NOT
            (SELECT sum(quantity * price_cents) FROM copy.order_lines WHERE order_id = o.id)""",
    "lines without an order": """
        SELECT count(*) FROM copy.order_lines WHERE order_id NOT IN (SELECT id FROM copy.orders)""",
    "gaps between orders": "SELECT max(id) - count(*) FROM copy.orders",
    "differences in the schema": """
        SELECT count(*) FROM
            (SELECT name, sql FROM main.sqlite_master EXCEPT SELECT name, sql FROM copy.sqlite_master)""",
}


def compare(original: Path, restored: Path, counted: Mapping[str, int]) -> list[Compared]:
    """Compare every row of every table. Raises ComparisonFailed that says what differs."""
    with closing(sqlite3.connect(f"{path_url('file', original)}?mode=rw", uri=True)) as both:
        both.execute("ATTACH ? AS copy", (f"{path_url('file', restored)}?mode=rw",))
        compared = [_compared(both, table, counted.get(table, -1)) for table in TABLES]
        wrong = [*(f"{one.table} differs" for one in compared if not one.good), *_broken(both)]
    if wrong:
        raise ComparisonFailed(
            f"the restored shop is not the one that was backed up: {'; '.join(wrong)}",
            hint=f"both are there to look at: {original} and {restored}",
        )
    return compared


def _compared(both: sqlite3.Connection, table: str, counted: int) -> Compared:
    differing = f"SELECT count(*) FROM (SELECT * FROM copy.{table} EXCEPT SELECT * FROM main.{table})"  # noqa: S608 - our own names
    return Compared(
        table, counted, _number(both, f"SELECT count(*) FROM copy.{table}"),  # noqa: S608
        _number(both, f"SELECT count(*) FROM main.{table}"), _number(both, differing),  # noqa: S608
    )  # fmt: skip


def _broken(both: sqlite3.Connection) -> Iterator[str]:
    for what, query in _BROKEN.items():
        if number := _number(both, query):
            yield f"{number:,} {what}"


def _number(both: sqlite3.Connection, query: str) -> int:
    return int(both.execute(query).fetchone()[0])
