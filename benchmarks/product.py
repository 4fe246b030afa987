"""Our side of the comparison, one measured act for each process: ``python -m benchmarks.product ACT``.

The order of an act comes as JSON on standard input, with the URL of the database in it, and its figures leave as
JSON on standard output. The clock runs from the first call of the product to the return of the last, so neither
Python's start nor its imports are in it; ``idle`` is what they leave in memory, ``peak`` the most there ever was.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.database.postgresql import PostgreSQL
from adapters.storage.local import Local, LocalConfig
from core.compression import Compression
from core.container import ProfileKey
from core.jobs import Address, JobSpec
from core.manifest import ManifestFile
from core.ports import RestoreTarget
from services import backups, restores
from services.backups import StoredBytes
from services.restores import Piece
from services.spool import Spool

PROFILE = "benchmark"
KEY = ProfileKey(PROFILE, bytes(32))  # the data is made up; whose key seals it does not matter
Order = dict[str, Any]


def dump(order: Order) -> dict[str, int]:
    """The pipeline alone: one database, compressed, sealed and hashed, into a spool, which is kept as ``output``."""
    plan = backups.plan(_job(order), _source(order), KEY, "python")
    item = next(backups.items(plan, Path(order["output"]).parent))
    output = Path(order["output"])
    with Spool(output.with_suffix(".spool")) as spool:
        with _measured(order):
            file = backups.dump(plan, item, spool)
        output.hardlink_to(spool.path)
    output.with_suffix(".json").write_text(file.model_dump_json())
    return {"output": file.size}


def flow(order: Order) -> dict[str, int]:
    """The whole backup, as ``from flows.backup import backup`` does it."""
    from flows.backup import backup

    job = _job(order)
    with _measured(order):
        report = backup(job)
    return {"output": sum(file.size for file in report.files)}


def profile(order: Order) -> dict[str, int]:
    """Save the encryption profile that :func:`flow` asks for."""
    from blocks.profiles import EncryptionProfile
    from blocks.saved import Kind, save

    with _measured(order):
        save(Kind.PROFILE, PROFILE, EncryptionProfile.of((KEY,)))
    return {}


def restore(order: Order) -> dict[str, int]:
    """Verify what :func:`dump` kept, load it into a new database, compare, and put it in place."""
    stored, file = _kept(order)
    adapter = _source(order)
    target = RestoreTarget(order["target"], expected=file.contents)
    piece = Piece(file.name, file, target)
    with _measured(order):
        adapter.check_restore(target)
        backups.read_back(stored, file)
        with adapter.restore(target) as restoration:
            restores.load(restoration, stored, piece, {KEY.key_id: KEY})
            restores.compare_and_publish(restoration, piece)
    return {}


def verify(order: Order) -> dict[str, int]:
    """Read back what :func:`dump` kept, and compare it with what was written."""
    stored, file = _kept(order)
    with _measured(order):
        backups.read_back(stored, file)
    return {}


ACTS: dict[str, Callable[[Order], dict[str, int]]] = {
    act.__name__: act for act in (dump, flow, profile, restore, verify)
}


def _job(order: Order) -> JobSpec:
    destination = Address(order.get("destination", "file:///"))
    compression = Compression.parse(f"zstd:{order['level']}")
    return JobSpec(
        source=Address(order["source"]), destinations=(destination,), profile=PROFILE, compression=compression
    )


def _source(order: Order) -> PostgreSQL:
    return PostgreSQL(PostgreSQL.config_type.from_url(order["source"]))


def _kept(order: Order) -> tuple[StoredBytes, ManifestFile]:
    path = Path(order["output"])
    file = ManifestFile.model_validate_json(path.with_suffix(".json").read_text())
    return StoredBytes.at(Local(LocalConfig(path=path.parent)), path.name), file


@contextmanager
def _measured(order: Order) -> Iterator[None]:
    """Note what happens within the context in the order."""
    idle, cpu, started = _memory("VmRSS"), _cpu(), time.perf_counter()
    yield
    order["figures"] = {
        "wall": time.perf_counter() - started,
        "cpu": _cpu() - cpu,
        "idle": idle,
        "peak": _memory("VmHWM"),
    }


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _memory(field: str) -> int:
    """A figure of this process in bytes; only Linux has them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Carry out the order on standard input."""
    order: Order = json.load(sys.stdin)
    result = ACTS[sys.argv[1]](order)
    print(json.dumps({**order["figures"], **result}))


if __name__ == "__main__":
    main()
