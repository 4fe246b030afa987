"""Disks that are too small, read-only or not ours, made for one test. All of it needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


def _mount(*arguments: str | Path) -> None:
    if os.geteuid():
        pytest.fail("this test mounts a disk of its own: run the tests as root")
    subprocess.run(["mount", *arguments], check=True)


@contextmanager
def small_disk(place: Path, megabytes: int = 20) -> Iterator[Path]:
    """An empty file system in memory of the given size, in MiB."""
    place.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """The same folder, on a mount that refuses every write."""
    _mount("--bind", place, place)
    try:
        _mount("-o", "remount,bind,ro", place)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """This process without root's rights."""
    if os.geteuid():
        pytest.fail("this test gives up root's rights for a moment: run the tests as root")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
