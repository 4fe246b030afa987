"""``python -m benchmarks.sftp``: one object to an OpenSSH server on the loopback and back, beside OpenSSH's ``sftp``.

Each round measures all of them, one after the other; the table shows medians, and the median of the ratios within a
round. Both sides start with reaching the server and end when the last byte is there. ``sftp`` syncs nothing unless it
is told to: it is told to (``-f``), as we always do. It asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from adapters.storage.sftp import SFTP
from benchmarks.report import table
from core.streams import CHUNK_SIZE, Chunk
from tests.servers.openssh import SFTP_INSIDE, Server, account, running
from tests.servers.processes import quick_folder

MIB = 1 << 20
OPENSSH, OURS = "OpenSSH sftp", "dbackup"
WAYS = ("upload", "download")


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sftp")
    parser.add_argument("--mib", type=int, default=512, help="size of the object")
    parser.add_argument("--rounds", type=int, default=5)
    wish = parser.parse_args()
    print(measured(wish.mib, wish.rounds))
    return 0


def measured(mib: int, rounds: int) -> str:
    """The table, for an object of ``mib`` MiB."""
    with account(quick_folder(4 * mib * MIB)) as user, running(user, SFTP_INSIDE) as server:
        body = user.folder / "body"
        _fill(body, mib)
        found = [_round(server, body) for _ in range(rounds)]
    return table((f"{mib} MiB by SFTP", "seconds", "MiB/s", f"speed × {OPENSSH}"), _rows(found, mib))


def _rows(rounds: list[dict[tuple[str, str], float]], mib: int) -> Iterator[tuple[str, ...]]:
    for way in WAYS:
        for who in (OPENSSH, OURS):
            seconds = median(one[way, who] for one in rounds)
            ratio = median(one[way, OPENSSH] / one[way, who] for one in rounds)
            yield f"{way}, {who}", f"{seconds:.2f}", f"{mib / seconds:.0f}", f"{ratio:.2f}"


def _round(server: Server, body: Path) -> dict[tuple[str, str], float]:
    folder, back = server.account.new_folder(), body.with_name("back")
    key = server.account.key()

    def ours() -> SFTP:  # each begins without a connection
        return server.storage(folder, password="", private_key_file=key)

    figures = {
        ("upload", OPENSSH): _timed(lambda: _sftp(server, f"put -f {body} {folder}/theirs")),
        ("upload", OURS): _timed(lambda: ours().put("ours", _chunks(body))),
        ("download", OPENSSH): _timed(lambda: _sftp(server, f"get {folder}/theirs {back}")),
        ("download", OURS): _timed(lambda: _download(ours(), back)),
    }
    for path in (folder / "theirs", folder / "ours", back):
        path.unlink()
    return figures


def _timed(act: Callable[[], object]) -> float:
    os.sync()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _sftp(server: Server, command: str) -> None:
    known = server.known_hosts(server.host_keys / "known_hosts")
    options = ["-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
    login = ["-i", str(server.account.key()), "-P", str(server.port), f"{server.account.name}@127.0.0.1"]
    subprocess.run(
        ["sftp", "-q", "-b", "-", *options, *login], input=command, text=True, check=True, stdout=subprocess.DEVNULL
    )


def _fill(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def _chunks(path: Path) -> Iterator[Chunk]:
    buffer = bytearray(CHUNK_SIZE)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield memoryview(buffer)[:count]


def _download(storage: SFTP, path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:
        for chunk in storage.get("ours"):
            file.write(chunk)


if __name__ == "__main__":
    sys.exit(main())
