"""``python -m benchmarks.throttled``: a whole backup to a destination behind a slow network.

A dump follows nobody: it goes into its spool, and the slow upload follows that. So a backup should take little more
than the longer of the two, the dump alone or the transfer alone, each measured in the same round. The destination is an
OpenSSH server that hashes what lies on it, so that the proof does not cross the slow network once more. Nothing is
asserted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import quote

from adapters.storage.sftp import SFTP, SFTPConfig
from benchmarks import postgresql
from benchmarks.contestants import DATABASE, KEPT, Arena, prefect_server
from benchmarks.report import table
from core.streams import CHUNK_SIZE, Chunk
from tests.servers.openssh import SFTP_INSIDE, Server, account, running
from tests.servers.processes import quick_folder
from tests.servers.proxy import Proxy, proxied

MIB = 1 << 20
HEAD = ("network", "dump alone s", "transfer alone s", "whole backup s", "× the longer one")
SPEEDS = (5, 10, 40)  # MiB/s of the network
Figures = tuple[float, float, float]


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttled")
    parser.add_argument("--mib", type=int, default=512, help="what pg_dump makes of the database")
    parser.add_argument("--rounds", type=int, default=3)
    wish = parser.parse_args()
    print(measured(wish.mib, wish.rounds))
    return 0


def measured(mib: int, rounds: int) -> str:
    """The table, for a database of which pg_dump makes ``mib`` MiB."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.server(mib * MIB))
        postgresql.fill(database, DATABASE, mib * MIB)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbackup-bench-")))
        user = stack.enter_context(account(quick_folder(4 * mib * MIB)))
        server = stack.enter_context(running(user, SFTP_INSIDE))
        network = stack.enter_context(proxied(server.port))
        arena = Arena(database, folder)
        prefect = stack.enter_context(prefect_server(arena))
        rows = []
        for speed in SPEEDS:
            network.bandwidth = speed * MIB
            with prefect.awake():
                rows.append(_row(f"{speed} MiB/s", [_round(arena, server, network) for _ in range(rounds)]))
    return table(HEAD, rows)


def _row(name: str, rounds: list[Figures]) -> tuple[str, ...]:
    dump, transfer, whole = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(whole / max(dump, transfer) for dump, transfer, whole in rounds)
    return name, f"{dump:.2f}", f"{transfer:.2f}", f"{whole:.2f}", f"{ratio:.2f}"


def _round(arena: Arena, server: Server, network: Proxy) -> Figures:
    arena.path(KEPT).unlink(missing_ok=True)
    dump = arena.figures("dump", level=1).wall
    transfer = _transfer(arena.path(KEPT), server, network)
    whole = arena.figures("flow", level=1, destination=_url(server, network)).wall
    figures = dump, transfer, whole
    print("dump {:.2f} s, transfer {:.2f} s, whole backup {:.2f} s".format(*figures), file=sys.stderr)
    return figures


def _transfer(path: Path, server: Server, network: Proxy) -> float:
    storage = SFTP(SFTPConfig.from_url(_url(server, network)))
    started = time.perf_counter()
    storage.put("transfer", _chunks(path))
    taken = time.perf_counter() - started
    storage.delete("transfer")
    return taken


def _url(server: Server, network: Proxy) -> str:
    """A new folder of the server, through the network."""
    user = server.account
    options = f"fingerprint={quote(server.fingerprint(), safe='')}&private_key_file={quote(str(user.key()), safe='')}"
    return f"sftp://{user.name}@127.0.0.1:{network.port}{user.new_folder()}?{options}"


def _chunks(path: Path) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(CHUNK_SIZE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


if __name__ == "__main__":
    sys.exit(main())
