"""Client tools as tests see them: which run, what their arguments show, and tools that are no real ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def tool(folder: Path, name: str, script: str) -> str:
    """A folder whose tool ``name`` is this script; the path of the folder, to be a client_path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder)


def children(name: str) -> list[int]:
    """Our own child processes of this name."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-x", name], check=False, capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def argument_lists() -> str:
    """The arguments of every process of the machine, except for PostgreSQL's own: they name whom they serve."""
    texts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return "\n".join(text for text in texts if not text.startswith("postgres: ") and "/initdb " not in text)


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody reaped counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
