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
UserName = Annotated[str, typer.Argument(metavar="USER", help="The name of a user.", show_default=False)]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The name of a group.", show_default=False)]
Permissions = Annotated[
    list[str] | None,
    typer.Option(
        "--permission",
        metavar="PERMISSION",
        help="What it permits, for example jobs:execute or 'backups:*'. Can be repeated.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)]
