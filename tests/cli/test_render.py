"""Results as people read them, on a terminal and in a pipe."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console, RenderableType

from actions.backups import Row
from cli import render
from cli.backups import listed
from cli.output import Output
from core.compression import Algorithm
from core.manifest import Contents, ManifestFile
from core.reports import (
    BackupReport,
    CheckedBackup,
    Failure,
    IntegrityReport,
    RestoredDatabase,
    RestoreReport,
    Retained,
    RetainedBackup,
    StoredCopy,
)
from core.states import RunState

STARTED, FINISHED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC)
BACKUP = "20260102T030405Z-abcdef"
LONG = "/very/long/folder/" * 8


def text(shown: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def partial() -> BackupReport:
    failure = Failure(subject="nas", reason="the disk is full", hint="free some space")
    file = ManifestFile(
        name="shop.dump.zst", database="shop", kind="database", dump_format="pg_custom", compression=Algorithm.ZSTD,
        size=2_500_000, sha256="0" * 64, dump_size=10_000_000,
        contents=Contents(tables=2, rows={"a": 1000, "b": 234}, estimated=("a",)),
    )  # fmt: skip
    return BackupReport(
        state=RunState.PARTIAL, backup_id=BACKUP, job="shop", folder=f"shop/{BACKUP}", started_at=STARTED,
        finished_at=FINISHED, files=(file,), failures=(failure,),
        copies=(StoredCopy(storage="vault", complete=True, checked="read back"),
                StoredCopy(storage="nas", complete=False, failure=failure)),
    )  # fmt: skip


def test_a_partial_backup_says_what_is_safe_and_what_is_not() -> None:
    lines = [" ".join(line.split()) for line in text(render.backup(partial())).splitlines()]
    assert lines == [
        f"! backup {BACKUP} of shop PARTIAL in 4.0 s, 2.5 MB/s",
        "shop 10.0 MB → 2.5 MB (25%) 2 tables, about 1,234 rows",
        "✓ vault complete, read back",
        "✗ nas not complete",
    ]


def retained(**fields: object) -> Retained:
    rows = [("kept", ("newest 3", "daily 2026-01-02")), ("deleted", ("no rule keeps it",)),
            ("due", ("no rule keeps it", "could not be deleted, to be tried again: kept by lock"))]  # fmt: skip
    backups = [RetainedBackup(backup_id=BACKUP, started_at=STARTED, outcome=outcome, reasons=reasons)  # type: ignore[arg-type]
               for outcome, reasons in rows]  # fmt: skip
    return Retained.model_validate({"storage": "vault", "policy": "daily=7", "backups": backups, **fields})


def test_retention_gives_a_decision_and_its_reasons_for_each_backup() -> None:
    lines = [" ".join(line.split()) for line in text(render.retention(retained())).splitlines()]
    assert lines[0] == "retention on vault daily=7"
    assert [line.partition(f" {BACKUP} ")[0] for line in lines[2:5]] == ["✓ keep", "✗ deleted", "! delete"]
    assert lines[2].endswith("newest 3; daily 2026-01-02")
    assert lines[4].endswith("no rule keeps it; could not be deleted, to be tried again: kept by lock")
    assert lines[5] == "1 kept, 1 deleted, 1 to delete"


def test_retention_that_stopped_says_why_and_what_to_do() -> None:
    stopped = retained(backups=(), failure=Failure(subject="retention on vault", reason="no list", hint="look at it"))
    assert "nothing was deleted: no list\n" in text(render.retention(stopped))
    report = partial().model_copy(update={"retention": (stopped, retained(storage="nas"), Retained(storage="plain"))})
    shown = text(render.backup(report))
    assert "! retention on vault: nothing was deleted: no list" in shown
    assert "→ look at it" in shown
    assert "! retention on nas: 1 kept, 1 deleted, 1 to delete" in shown
    assert "plain" not in shown


def test_a_restore_says_where_each_database_is_and_what_was_compared() -> None:
    restored = RestoredDatabase(
        database="shop", restored_as="new", place="database new", tables=2, rows=5, compared=True, uncounted=("a",),
        notes=("not of one moment",),
    )  # fmt: skip
    report = RestoreReport(
        state=RunState.SUCCESS, backup_id=BACKUP, storage="vault", started_at=STARTED, finished_at=FINISHED,
        restored=(restored,),
    )  # fmt: skip
    shown = text(render.restore(report))
    for expected in (
        "is now database new",
        "2 tables, 5 rows, compared",
        "only estimated, so not compared: a",
        "not of one moment",
    ):
        assert expected in shown


def test_an_integrity_check_gives_the_reason_of_each() -> None:
    outcomes = ("passed", "failed", "skipped")
    checked = [
        CheckedBackup(storage="v", backup_id=BACKUP, job="j", outcome=one, reason=f"why {one}") for one in outcomes
    ]
    report = IntegrityReport(state=RunState.FAILED, started_at=STARTED, finished_at=FINISHED, checked=tuple(checked))
    shown = text(render.integrity(report))
    assert "1 passed, 1 failed, 1 skipped" in shown
    assert all(f"why {one}" in shown for one in outcomes)


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_word_is_lost(width: int) -> None:
    shown = text(render.table(("Backup", "Where"), [(BACKUP, LONG)], whole=("Backup",)), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "".join(line[23:].strip() for line in shown.splitlines()[1:]) == LONG


def test_in_a_pipe_nothing_is_cut_coloured_or_padded(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).answer(None, render.table(("Backup", "Where"), [(BACKUP, LONG), (BACKUP, "x")]))
    out = capsys.readouterr().out
    assert f"{BACKUP}  {LONG}\n" in out
    assert f"{BACKUP}  x\n" in out
    assert "\x1b" not in out


def test_names_are_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).answer(None, render.done("[red]x[/red] :smile: [/]"))
    assert capsys.readouterr().out == "✓ [red]x[/red] :smile: [/]\n"


def test_a_command_to_copy_stays_on_one_line() -> None:
    command = f"dbackup restore {BACKUP} --at {LONG}"
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    output = Output(as_json=False)
    output.__dict__["results"] = console
    output.answer(None, render.command(command))
    assert console.file.getvalue() == f"  {command}\n"  # type: ignore[attr-defined]


def test_a_list_on_a_narrow_terminal_hides_neither_a_place_nor_a_remark() -> None:
    row = Row(
        backup_id=BACKUP, job="nightly", source="shop-prod", engine="postgresql", started_at=STARTED, size=1_100_000,
        dump_size=2_000_000, profile="production", storages=("local", "nas"), locked=True, missing=("orders",),
    )  # fmt: skip
    for width in (80, 200):
        shown = text(listed([row], width), width)
        assert all(word in shown for word in (BACKUP, "nightly", "local", "nas", "pinned", "orders")), shown
