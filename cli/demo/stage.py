"""What both demonstrations do and tell: back up encrypted, verify, restore, and a summary of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from actions import keys, runs, saved
from actions.door import LOCAL_ADMINISTRATOR
from cli import render, words
from cli.addresses import path_url
from cli.output import Output
from cli.watcher import progress
from core.jobs import Address, IntegritySpec, JobSpec, RestoreSpec
from core.reports import BackupReport, IntegrityReport, RestoreReport

STORAGE, PROFILE = "backups", "demo"
HOME, FOLDER = "home", "backups"  # in the folder of the demonstration

_COUNT_ALL = sys.maxsize  # rows: every table is counted exactly
_WIDEST = 100  # columns
R = TypeVar("R")


@dataclass(frozen=True)
class Timed:
    """How long each run took, in seconds, and what it reported."""

    backup: tuple[BackupReport, float]
    verify: tuple[IntegrityReport, float]
    restore: tuple[RestoreReport, float]


def prepare(out: Output, place: Path, source: str, url: str) -> None:
    """Save the source, the folder of backups and a new encryption profile. Starts the embedded Prefect server."""
    with out.waiting("starting an embedded Prefect server, this takes about ten seconds"):
        keys.create(LOCAL_ADMINISTRATOR, PROFILE)
        saved.add_storage(LOCAL_ADMINISTRATOR, STORAGE, path_url("file", place / FOLDER))
        saved.add_source(LOCAL_ADMINISTRATOR, source, url)
    out.answer(None, render.done(f"saved: source {source}, storage {STORAGE}, encryption profile {PROFILE}"))


def back_up(out: Output, source: str) -> tuple[BackupReport, float]:
    """Back up, compressed and encrypted."""
    job = JobSpec(source=Address(source), destinations=(Address(STORAGE),), profile=PROFILE, exact_rows=_COUNT_ALL)
    return _timed(out, lambda: runs.back_up(LOCAL_ADMINISTRATOR, job))


def verify(out: Output, backup_id: str) -> tuple[IntegrityReport, float]:
    """Read every stored byte back."""
    wish = IntegritySpec(storages=(Address(STORAGE),), backup=backup_id)
    return _timed(out, lambda: runs.verify(LOCAL_ADMINISTRATOR, wish))


def restore(out: Output, backup_id: str, target: str, rename: str | None = None) -> tuple[RestoreReport, float]:
    """Restore beside the original."""
    wish = RestoreSpec(backup=backup_id, storage=Address(STORAGE), target=Address(target), rename=rename)
    return _timed(out, lambda: runs.restore(LOCAL_ADMINISTRATOR, wish))


def _timed(out: Output, run: Callable[[], R]) -> tuple[R, float]:
    begun = time.monotonic()
    with progress(out.notes):
        result = run()
    return result, time.monotonic() - begun


def summary(out: Output, done: Timed, compared: RenderableType, proof: str) -> None:
    """What was done, in figures."""
    title = Text.assemble(render.GOOD, (" backed up, verified, restored, compared ", "bold"))
    what = Group(_figures(done), "", compared, "", render.done(proof))
    out.answer(
        None, "", Panel(what, title=title, title_align="left", padding=(1, 2), width=min(_WIDEST, out.results.width))
    )


def _figures(done: Timed) -> Table:
    (backup, backup_seconds), (verify, verify_seconds), (restore, restore_seconds) = (
        done.backup,
        done.verify,
        done.restore,
    )
    share = f"{backup.size / backup.dump_size:.0%}" if backup.dump_size else ""
    checked = sum(one.size for one in verify.checked)
    rows, tables = (sum(getattr(one, what) for one in restore.restored) for what in ("rows", "tables"))
    lines = (
        (
            "backup",
            backup_seconds,
            backup.dump_size,
            f"{words.size(backup.dump_size)} → {words.size(backup.size)} ({share}), compressed, encrypted, read back",
        ),
        ("verify", verify_seconds, checked, f"{words.size(checked)} read and hashed again"),
        (
            "restore",
            restore_seconds,
            backup.dump_size,
            f"{words.count(tables, 'table')}, {words.count(rows, 'row')}, built beside the original",
        ),
    )
    cells = [(name, words.duration(seconds), words.rate(size, seconds), what) for name, seconds, size, what in lines]
    return render.table(("Run", "Time", "Rate", "What"), cells, figures=("Time", "Rate"), whole=("Run", "Time", "Rate"))


def farewell(out: Output, place: Path, files: list[tuple[str, Path]], again: str) -> None:
    """Where everything is, and commands that work as they are printed."""
    program = _short(Path(sys.executable).parent / "dbackup")
    told = [*files, ("the backups", place / FOLDER), ("the program's home", place / HOME)]
    commands = ("list", "show latest", "verify --all", again, "doctor")
    lines = [f"export DBACKUP_HOME={_short(place / HOME)}", *(f"{program} {one}" for one in commands)]
    out.answer(
        None,
        render.facts((name, _short(path)) for name, path in told),
        "",
        Text("Try next:", "bold"),
        *(Text(f"  {line}", "cyan") for line in lines),
    )


def _short(path: Path) -> str:
    """The path from here, where that is shorter."""
    here = Path.cwd()
    return f"{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
