"""``python -m benchmarks.s3``: an object to an S3 server and back, beside ``rclone copyto``, on the same server.

The server is ``rclone serve s3`` on a folder in memory; everybody takes turns within a round. Our figures are taken
inside a process of ours, without Python's start; those of rclone include its own. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from adapters.storage.s3 import S3, S3Config
from benchmarks.report import table
from core.streams import CHUNK_SIZE, Chunk
from tests.servers.processes import quick_folder
from tests.servers.s3 import BUCKET, S3Server, rclone_program, rclone_serving

MIB = 1 << 20
WAYS = ("up", "down")
PREFIX = "bench"


def main() -> None:
    """Measure, or, as the process that is measured, carry out the order on standard input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s3", description="An object to S3 and back.")
    parser.add_argument("--size", type=int, default=512, help="of the object, in MiB (512)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody runs (3)")
    parser.add_argument("--act", choices=WAYS, help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.act:
        _act(wish.act, **json.load(sys.stdin))
        return
    print(measured(wish.size, wish.rounds))


def measured(mib: int, rounds: int) -> str:
    """The table, for an object of ``mib`` MiB."""
    with tempfile.TemporaryDirectory(prefix="dbackup-bench-", dir=quick_folder(4 * mib * MIB)) as folder:
        return _measured(Path(folder), mib, rounds)


def _measured(folder: Path, size: int, rounds: int) -> str:
    source, served = folder / "source", folder / "served"
    with source.open("wb") as file:
        for _ in range(size):
            file.write(secrets.token_bytes(MIB))
    (served / BUCKET).mkdir(parents=True)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with rclone_serving(served) as server:
        for number in range(rounds):
            for way in WAYS:
                rival, ours = _rclone(server, way, source), _ours(server, way, source)
                found[way].append((rival, ours))
                print(f"round {number + 1}  {way:4}  rclone {rival:.2f} s  ours {ours:.2f} s", file=sys.stderr)
            for name in ("rclone", "ours"):
                server.client().delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}")
    return table(
        (f"{size} MiB by S3", "rclone MiB/s", "ours MiB/s", "ours × rclone"),
        [_line(way, size, found[way]) for way in WAYS],
    )


def _line(way: str, size: int, times: list[tuple[float, float]]) -> tuple[str, ...]:
    rival, ours = (median(column) for column in zip(*times, strict=True))
    ratio = median(one / other for one, other in times)  # of speeds, within the same round
    return way, f"{size / rival:.0f}", f"{size / ours:.0f}", f"{ratio:.2f}"


def _rclone(server: S3Server, way: str, source: Path) -> float:
    remote = f":s3:{BUCKET}/{PREFIX}/rclone"
    pair = (str(source), remote) if way == "up" else (remote, str(source.with_name("back")))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(source.parent),
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_S3_PROVIDER": "Rclone",
        "RCLONE_S3_ACCESS_KEY_ID": server.key,
        "RCLONE_S3_SECRET_ACCESS_KEY": server.secret,
        "RCLONE_S3_ENDPOINT": f"http://127.0.0.1:{server.port}",
    }
    started = time.perf_counter()
    subprocess.run([rclone_program(), "copyto", *pair], env=environment, check=True)
    return time.perf_counter() - started


def _ours(server: S3Server, way: str, source: Path) -> float:
    path = source if way == "up" else source.with_name("back")
    order = json.dumps({"url": server.url(PREFIX), "path": str(path)})
    command = [sys.executable, "-m", "benchmarks.s3", "--act", way]
    done = subprocess.run(command, input=order, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _act(way: str, url: str, path: str) -> None:
    storage = S3(S3Config.from_url(url))
    storage.identity()  # imports what a run has imported already
    started = time.perf_counter()
    if way == "up":
        storage.put("ours", _read(Path(path)))
    else:
        with Path(path).open("wb", buffering=0) as file:
            for chunk in storage.get("ours"):
                file.write(chunk)
    print(time.perf_counter() - started)


def _read(path: Path) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(CHUNK_SIZE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


if __name__ == "__main__":
    main()
