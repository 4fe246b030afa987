"""What the tests of whole flows share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from core.jobs import JobSpec


def rows(path: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT id, note FROM orders ORDER BY id").fetchall()


def job(source: str | Path, *destinations: str | Path, **options: object) -> JobSpec:
    """A job from paths or URLs."""
    return JobSpec.model_validate(
        {
            "source": _url("sqlite", source),
            "destinations": [_url("file", destination) for destination in destinations],
            "retries": 0,
            **options,
        }
    )


def _url(scheme: str, address: str | Path) -> str:
    return f"{scheme}://{address}" if isinstance(address, Path) else address


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones included, but for the gate that guards the making of run folders."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".gate")
    return sorted(str(path.relative_to(folder)) for path in found)


def children(marker: str) -> Iterator[int]:
    """The process ids of this machine whose command line or environment contains a text."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in seen:
                yield int(entry.name)
