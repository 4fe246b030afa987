"""On what it was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.postgresql import Server

TOOLS = ("pg_dump", "zstd", "age", "gzip")


def describe(server: Server, folder: Path) -> str:
    """The machine, its disk, and the versions of everything that was measured, as a Markdown list."""
    facts = {
        **hardware(folder),
        "server": f"PostgreSQL {server.query('SHOW server_version')[0][0]}, fsync off",
        "tools": "; ".join(_version(tool) for tool in TOOLS),
        "load average": load(),
    }
    return listed(facts)


def hardware(folder: Path) -> dict[str, str]:
    """The machine, and the disk that a folder lies on."""
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _output("stat", "--file-system", "--format", "%T", str(folder)),
        "Python": platform.python_version(),
    }


def load() -> str:
    """How many processes have wanted to run, over the last one, five and fifteen minutes."""
    return ", ".join(f"{one:.1f}" for one in os.getloadavg())


def listed(facts: Mapping[str, str]) -> str:
    """Facts as a Markdown list."""
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(tool: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", _output(tool, "--version"))
    return f"{tool} {found[0]}" if found else tool


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
