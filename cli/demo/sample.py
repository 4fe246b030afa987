"""The demonstration with the sample shop: backed up while customers order, and compared row by row."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from cli import render, words
from cli.addresses import path_url
from cli.demo import stage
from cli.demo.comparison import Compared, compare
from cli.demo.customers import customers
from cli.demo.shop import make
from cli.output import Output

SOURCE = "shop"


def show(out: Output, place: Path) -> None:
    """Do all of it, and tell. Raises DBackupError when the comparison, or anything before it, fails."""
    shop, restored = place / "shop.db", place / "shop-restored.db"
    with out.waiting("making a sample shop"):
        rows = make(shop)
    out.answer(None, render.done(f"made a sample shop: {rows:,} rows, {words.size(shop.stat().st_size)}, in WAL mode"))
    stage.prepare(out, place, SOURCE, path_url("sqlite", shop))
    with customers(shop):
        out.answer(None, render.done("customers go on ordering while it is backed up"))
        backup = stage.back_up(out, SOURCE)
    verified = stage.verify(out, backup.report.backup_id)
    back = stage.restore(out, backup.report.backup_id, path_url("sqlite", restored))
    with out.waiting("comparing every row"):
        contents = backup.report.files[0].contents
        compared = compare(shop, restored, contents.rows if contents else {})
    proof = "every row that came back is the original's, and together they are the shop at one moment"
    stage.summary(out, stage.Done(backup, verified, back), _table(compared), proof)
    again = f"restore {SOURCE}/latest --at {stage.STORAGE} --into {place.name}/again.db"
    stage.farewell(out, place, [("the shop", shop), ("the restored shop", restored)], again)


def _table(compared: list[Compared]) -> Table:
    rows = [
        (one.table, f"{one.counted:,}", f"{one.restored:,}", render.GOOD, f"{one.now - one.counted:,}")
        for one in compared
    ]
    columns = ("Table", "Rows backed up", "Restored", "Equal", "Written since")
    return render.table(columns, rows, figures=("Rows backed up", "Restored", "Written since"))
