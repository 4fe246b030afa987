"""``dbackup metrics``: what Prometheus is told, for the textfile collector of its node exporter."""

from __future__ import annotations

import typer

from cli.command import command
from cli.output import Output

app = typer.Typer()


@command(app)
def metrics(out: Output) -> None:
    """Print the metrics in Prometheus' text format."""
    from prometheus_client import generate_latest

    from actions import system
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        text = generate_latest(system.metrics(LOCAL_ADMINISTRATOR)).decode()
    out.answer({"metrics": text}, text.rstrip("\n"))
