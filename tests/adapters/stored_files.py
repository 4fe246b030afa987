"""What tests of storages ask about files: those below a folder, and what a manifest would say of some bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.manifest import ManifestFile


def left_in(root: Path) -> list[str]:
    """Every file below the root, unfinished ones included."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def manifest_file(body: bytes) -> ManifestFile:
    """What a manifest says of an object with these bytes."""
    return ManifestFile(
        name="shop.db",
        database="shop",
        kind="database",
        dump_format="sqlite",
        compression="none",
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        dump_size=len(body),
    )
