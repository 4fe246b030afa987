"""Run programs and measure them: wall clock, CPU with children, peak memory, size of the output.

The kernel counts: ``wait4`` gives the usage of a process and of every child it has waited for. A new process starts
with the peak of the one that started it, so the programs are started from a small process of their own: this file,
run as a script, which imports next to nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


class Figures(NamedTuple):
    """What one run cost: seconds of wall clock and of CPU, bytes of peak memory, bytes of output (None: no output)."""

    wall: float
    cpu: float
    peak: int
    output: int | None = None


class ProgramFailed(Exception):
    """A measured program ended with an error, so its figures mean nothing."""


def pipeline(*commands: Sequence[str], env: Mapping[str, str], output: Path | None = None) -> Figures:
    """Run the commands as a shell's pipe does, the last one into ``output`` (None: thrown away).

    CPU and peak memory are sums over all of them. Raises ProgramFailed when any of them fails.
    """
    os.sync()  # what the previous run left to write must not be paid by this one
    launcher = [sys.executable, "-I", "-S", __file__, str(output or os.devnull)]
    done = subprocess.run(
        launcher, env=dict(env), input=json.dumps(commands), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise ProgramFailed(f"{' | '.join(command[0] for command in commands)} failed")
    wall, cpu, peak = json.loads(done.stdout)
    return Figures(wall, cpu, peak, output.stat().st_size if output else None)


def _run(commands: Sequence[Sequence[str]], sink: IO[bytes]) -> tuple[float, float, int]:
    started = time.perf_counter()
    usages = [_waited(process) for process in _started(commands, sink)]
    wall = time.perf_counter() - started
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return wall, cpu, sum(usage.ru_maxrss * MAXRSS_UNIT for usage in usages)


def _started(commands: Sequence[Sequence[str]], sink: IO[bytes]) -> list[subprocess.Popen[bytes]]:
    processes: list[subprocess.Popen[bytes]] = []
    source: IO[bytes] | int = subprocess.DEVNULL
    for command in commands:
        target: IO[bytes] | int = sink if command is commands[-1] else subprocess.PIPE
        process = subprocess.Popen(command, stdin=source, stdout=target)
        if not isinstance(source, int):
            source.close()  # so that a writer notices when its reader dies early
        if process.stdout is not None:
            source = process.stdout
        processes.append(process)
    return processes


def _waited(process: subprocess.Popen[bytes]) -> os.struct_rusage:  # type: ignore[name-defined]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"a measured program ended with {process.returncode}")
    return usage


if __name__ == "__main__":
    with Path(sys.argv[1]).open("wb") as destination:
        json.dump(_run(json.load(sys.stdin), destination), sys.stdout)
