"""``dbackup doctor``: is everything there that a backup needs, and what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.command import command
from cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from actions.doctor import Finding

app = typer.Typer()

_SUBJECT = 24  # columns


@command(app)
def doctor(out: Output) -> None:
    """Examine tools, key, catalog, Prefect and everything saved."""
    from actions.doctor import examine
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import words

    found, findings = [], examine(LOCAL_ADMINISTRATOR)
    while (finding := _next(out, findings)) is not None:
        found.append(finding)
        if not out.as_json:
            out.answer(None, _line(finding))
    bad = sum(not one.good for one in found)
    verdict = "all is well" if not bad else f"{words.count(bad, 'line')} to look after"
    out.answer({"good": not bad, "findings": found}, "", verdict)
    if bad:
        raise typer.Exit(1)


def _next(out: Output, findings: Iterator[Finding]) -> Finding | None:
    with out.waiting("examining"):
        return next(findings, None)


def _line(finding: Finding) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from cli.render import BAD, GOOD

    line = Table.grid(padding=(0, 1))
    line.add_column()
    line.add_column(min_width=_SUBJECT, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(GOOD if finding.good else BAD, finding.subject, Text(finding.fact, "" if finding.good else "red"))
    if finding.advice:
        line.add_row("", "", Text.assemble(("→ ", "dim"), finding.advice))
    return line
