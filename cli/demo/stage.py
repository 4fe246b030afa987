"""What both demonstrations do and tell: back up encrypted, verify, restore, and a summary of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

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
class Run(Generic[R]):
    """One run: its report, how long it took, and how fast its bytes went. Seconds, and bytes a second."""

    report: R
    seconds: float
    speed: str


@dataclass(frozen=True)
class Done:
    """The runs of a demonstration."""

    backup: Run[BackupReport]
    verify: Run[IntegrityReport]
    restore: Run[RestoreReport]


def prepare(out: Output, place: Path, source: str, url: str) -> None:
    """Save the source, the folder of backups and a new encryption profile. Starts the embedded Prefect server."""
    with out.waiting("starting an embedded Prefect server, this takes about ten seconds"):
        keys.create(LOCAL_ADMINISTRATOR, PROFILE)
        saved.add_storage(LOCAL_ADMINISTRATOR, STORAGE, path_url("file", place / FOLDER))
        saved.add_source(LOCAL_ADMINISTRATOR, source, url)
    out.answer(None, render.done(f"saved: source {source}, storage {STORAGE}, encryption profile {PROFILE}"))


def back_up(out: Output, source: str) -> Run[BackupReport]:
    """Back up, compressed and encrypted."""
    job = JobSpec(source=Address(source), destinations=(Address(STORAGE),), profile=PROFILE, exact_rows=_COUNT_ALL)
    return _measured(out, "backing up", "dump", lambda: runs.back_up(LOCAL_ADMINISTRATOR, job))


def verify(out: Output, backup_id: str) -> Run[IntegrityReport]:
    """Read every stored byte back."""
    wish = IntegritySpec(storages=(Address(STORAGE),), backup=backup_id)
    return _measured(out, "verifying", "verify", lambda: runs.verify(LOCAL_ADMINISTRATOR, wish))


def restore(out: Output, backup_id: str, target: str, rename: str | None = None) -> Run[RestoreReport]:
    """Restore beside the original."""
    wish = RestoreSpec(backup=backup_id, storage=Address(STORAGE), target=Address(target), rename=rename)
    return _measured(out, "restoring", "restore", lambda: runs.restore(LOCAL_ADMINISTRATOR, wish))


def _measured(out: Output, heading: str, step: str, run: Callable[[], R]) -> Run[R]:
    """Run, and take the speed of the step in which the bytes are moved."""
    out.note(Text(heading, "bold"))
    begun = time.monotonic()
    with progress(out.notes) as bars:
        report = run()
    return Run(report, time.monotonic() - begun, words.rate(*bars.moved(step)))


def summary(out: Output, done: Done, compared: RenderableType, proof: str) -> None:
    """What was done, in figures."""
    title = Text.assemble(render.GOOD, (" backed up, verified, restored, compared", "bold"))
    what = Group(_figures(done), "", compared, "", render.done(proof))
    width = min(_WIDEST, out.results.width)
    out.answer(None, "", Panel(what, title=title, title_align="left", padding=(1, 2), width=width))


def _figures(done: Done) -> Table:
    backup, restored = done.backup.report, done.restore.report.restored
    checked = sum(one.size for one in done.verify.report.checked)
    tables = words.count(sum(one.tables for one in restored), "table")
    rows = words.count(sum(one.rows for one in restored), "row")
    sizes = f"{words.size(backup.dump_size)} → {words.size(backup.size)} ({words.share(backup.size, backup.dump_size)})"
    told: tuple[tuple[str, Run[Any], str], ...] = (
        ("backup", done.backup, f"{sizes}, compressed, encrypted, read back"),
        ("verify", done.verify, f"{words.size(checked)} read and hashed once more"),
        ("restore", done.restore, f"{tables}, {rows}, built beside the original"),
    )
    cells = [(name, words.duration(run.seconds), run.speed, what) for name, run, what in told]
    figures = ("Took", "Data at")
    return render.table(("Run", *figures, "What"), cells, figures=figures, whole=figures)


def farewell(out: Output, place: Path, files: list[tuple[str, Path]], again: str) -> None:
    """Where everything is, and commands that work as they are printed."""
    program = _short(Path(sys.executable).parent / "dbackup")
    told = [*files, ("the backups", place / FOLDER), ("the program's home", place / HOME)]
    commands = ("list", "show latest", "verify --all", again, "doctor")
    lines = [f'export DBACKUP_HOME="$PWD/{_short(place / HOME)}"', *(f"{program} {one}" for one in commands)]
    out.answer(
        None,
        render.facts((name, _short(path)) for name, path in told),
        "",
        Text("Try next:", "bold"),
        *map(render.command, lines),
    )


def _short(path: Path) -> str:
    """The path from here, where that is shorter."""
    here = Path.cwd()
    return f"{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
