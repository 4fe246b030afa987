"""``python -m benchmarks.throttled``: a whole backup to a destination behind a slow network.

A dump follows nobody: it goes into its spool, and the slow upload follows that. So a backup should take little more
than the longer of the two, the dump alone or the transfer alone, each measured in the same round. The destinations are
an OpenSSH server that hashes what lies on it, and OpenStack Swift, which checks what it receives: so the proof does not
cross the slow network once more. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote

from adapters.storage.s3 import S3, S3Config
from adapters.storage.sftp import SFTP, SFTPConfig
from benchmarks import postgresql
from benchmarks.contestants import DATABASE, KEPT, Arena, prefect_server
from benchmarks.report import table
from core.streams import CHUNK_SIZE, Chunk
from tests.servers.openssh import SFTP_INSIDE, account, running
from tests.servers.processes import quick_folder
from tests.servers.proxy import LOOPBACK, Proxy, proxied
from tests.servers.s3 import swift_serving

MIB = 1 << 20
HEAD = ("network", "dump alone s", "transfer alone s", "whole backup s", "× the longer one")
SPEEDS = (5, 10, 40)  # MiB/s of the network
Figures = tuple[float, float, float]


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttled")
    parser.add_argument("--mib", type=int, default=512, help="what pg_dump makes of the database")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=tuple(PLACES))
    wish = parser.parse_args()
    print(measured(wish.mib, wish.rounds, wish.places))
    return 0


@dataclass(frozen=True)
class Place:
    """A server with a slow network before it; ``url`` gives a new place on it, through that network.

    Its network slows each of ``connections`` that carry an object side by side, and so all of them together.
    """

    name: str
    network: Proxy
    connections: int
    url: Callable[[], str]
    storage: Callable[[str], SFTP | S3]


@contextmanager
def _by_sftp(size: int) -> Iterator[Place]:
    with account(quick_folder(size)) as user, running(user, SFTP_INSIDE) as server, proxied(server.port) as network:

        def url() -> str:
            key, fingerprint = quote(str(user.key()), safe=""), quote(server.fingerprint(), safe="")
            options = f"fingerprint={fingerprint}&private_key_file={key}"
            return f"sftp://{user.name}@{LOOPBACK}:{network.port}{user.new_folder()}?{options}"

        yield Place("SFTP", network, 1, url, lambda url: SFTP(SFTPConfig.from_url(url)))


@contextmanager
def _by_s3(size: int) -> Iterator[Place]:
    with swift_serving(size) as server, proxied(server.port) as network:
        yield Place(
            "S3",
            network,
            S3Config.model_fields["uploads"].default,
            lambda: server.url(secrets.token_hex(8), port=network.port),
            lambda url: S3(S3Config.from_url(url)),
        )


PLACES = {"sftp": _by_sftp, "s3": _by_s3}


def measured(mib: int, rounds: int, places: Iterable[str] = tuple(PLACES)) -> str:
    """The table, for a database of which pg_dump makes ``mib`` MiB."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.server(mib * MIB))
        postgresql.fill(database, DATABASE, mib * MIB)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbackup-bench-")))
        arena = Arena(database, folder)
        prefect = stack.enter_context(prefect_server(arena))
        rows = []
        for name in places:
            with PLACES[name](4 * mib * MIB) as place:
                for speed in SPEEDS:
                    place.network.bandwidth = speed * MIB // place.connections
                    with prefect.awake():
                        taken = [_round(arena, place) for _ in range(rounds)]
                    rows.append(_row(f"{place.name}, {speed} MiB/s", taken))
    return table(HEAD, rows)


def _row(name: str, rounds: list[Figures]) -> tuple[str, ...]:
    dump, transfer, whole = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(whole / max(dump, transfer) for dump, transfer, whole in rounds)
    return name, f"{dump:.2f}", f"{transfer:.2f}", f"{whole:.2f}", f"{ratio:.2f}"


def _round(arena: Arena, place: Place) -> Figures:
    arena.path(KEPT).unlink(missing_ok=True)
    dump = arena.figures("dump", level=1).wall
    transfer = _transfer(arena.path(KEPT), place.storage(place.url()))
    whole = arena.figures("flow", level=1, destination=place.url()).wall
    figures = dump, transfer, whole
    print("{}: dump {:.2f} s, transfer {:.2f} s, whole backup {:.2f} s".format(place.name, *figures), file=sys.stderr)
    return figures


def _transfer(path: Path, storage: SFTP | S3) -> float:
    started = time.perf_counter()
    storage.put("transfer", _chunks(path))
    taken = time.perf_counter() - started
    storage.delete("transfer")
    return taken


def _chunks(path: Path) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(CHUNK_SIZE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


if __name__ == "__main__":
    sys.exit(main())
