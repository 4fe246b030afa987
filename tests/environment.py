"""The environment of the programs that tests start: without what is set for this program or for Prefect."""

from __future__ import annotations

import os

PREFIXES = ("DBACKUP_", "PREFECT_")


def ours() -> list[str]:
    """The variables that are set for this program or for Prefect."""
    return [name for name in os.environ if name.startswith(PREFIXES)]


def without_ours() -> dict[str, str]:
    """The environment without them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
