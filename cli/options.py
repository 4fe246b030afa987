"""Parameters that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Reference = Annotated[str, typer.Argument(metavar="BACKUP", help="An id, latest, or <job>/latest.", show_default=False)]
At = Annotated[str, typer.Option("--at", metavar="DEST", help="Where it lies: a saved name, a URL or a path.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="NAME[:EVENTS]",
        help="Tell this channel: of failures, or of success,failure,partial,restored,integrity. Can be repeated.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)]
