"""``make bench``: how fast we are, and how much memory we take, beside the tools that people use instead.

The tables go to standard output, what is being done to standard error. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import machine, postgresql, report, s3, sftp, throttled
from benchmarks.contestants import (
    DATABASE,
    KEPT,
    Arena,
    Contestant,
    floor,
    flows,
    peers,
    pipelines,
    prefect_server,
    readers,
)
from benchmarks.measure import ProgramFailed
from tests.servers.postgresql import Server

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
FOLDER = Path(".bench")
LARGEST_OBJECT = 512  # MiB that go to a storage and back


def main() -> int:
    """Measure what the arguments ask for."""
    wish = _arguments()
    try:
        with postgresql.server(max([wish.size, *wish.memory])) as server, _folder() as folder:
            parts = [_measured(wish, server, folder), machine.describe(server, folder)]
        text = "\n\n".join([*_storages(wish), *parts] if wish.storages else parts)
    except ProgramFailed as failure:
        _say(f"{failure}.")
        return 1
    except KeyboardInterrupt:
        return 130
    print(text)
    if wish.write:
        report.write(text)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measure dumps, restores and checks.")
    parser.add_argument("--size", type=_size, default=1 << 30, help="how much pg_dump makes of the database (1G)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody runs (3)")
    parser.add_argument("--level", type=int, nargs="+", default=[1, 3], help="levels of zstd (1 3)")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="zstd, age and gzip too")
    parser.add_argument("--flow", action=argparse.BooleanOptionalAction, default=True, help="the whole backup too")
    parser.add_argument(
        "--memory", type=_size, nargs="*", default=[200 << 20, 2 << 30], help="databases to take memory of"
    )
    parser.add_argument("--storages", action=argparse.BooleanOptionalAction, default=True, help="S3 and SFTP, too")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {report.PAGE.name} too")
    return parser.parse_args()


def _size(text: str) -> int:
    parts = re.fullmatch(r"(\d+)([KMG]?)i?B?", text.upper())
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write for example 200M or 1G")
    return int(parts[1]) * UNITS[parts[2]]


@contextmanager
def _folder() -> Iterator[Path]:
    FOLDER.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=FOLDER)).absolute()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _measured(wish: argparse.Namespace, server: Server, folder: Path) -> str:
    arena = Arena(server, folder)
    return "\n\n".join(filter(None, [_speed(wish, arena), _memory(wish, arena)]))


def _storages(wish: argparse.Namespace) -> list[str]:
    """Storages beside the tools that people use for them, and a backup behind a slow network."""
    mib = min(wish.size >> 20, LARGEST_OBJECT)
    _say(f"taking {mib} MiB to storages and back")
    return [one.measured(mib, wish.rounds) for one in (s3, sftp, throttled)] if wish.rounds else []


def _speed(wish: argparse.Namespace, arena: Arena) -> str:
    if not wish.rounds:
        return ""
    _say(f"making a database of {wish.size >> 20} MiB")
    postgresql.fill(arena.server, DATABASE, wish.size)
    with ExitStack() as stack:
        contestants = [
            *floor(arena),
            *(peers(arena, wish.level) if wish.peers else ()),
            *pipelines(arena, wish.level),
            *(flows(arena, wish.level, stack.enter_context(prefect_server(arena))) if wish.flow else ()),
            *readers(arena),
        ]
        rounds = [_round(contestants, number) for number in range(1, wish.rounds + 1)]
    return report.speed(contestants, rounds)


def _round(contestants: Sequence[Contestant], number: int) -> report.Round:
    found: report.Round = {}
    for contestant in contestants:
        found[contestant.name] = figures = contestant.run()
        _say(f"round {number}  {contestant.name:40} {figures.wall:7.2f} s")
    return found


def _memory(wish: argparse.Namespace, arena: Arena) -> str:
    found = []
    for size in wish.memory:
        name = f"{size >> 20} MiB"
        _say(f"taking the memory of a dump of {name}")
        postgresql.drop(arena.server, DATABASE)
        postgresql.fill(arena.server, DATABASE, size)
        for level in wish.level:
            arena.path(KEPT).unlink(missing_ok=True)
            found.append((f"{name}, zstd {level}", size, arena.product("dump", level=level)))
    return report.memory(found) if found else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
