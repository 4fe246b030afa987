"""Answers as people read them. Pure: from reports and rows to what rich can print.

Colours repeat what signs and words say already, so nothing is lost without them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli import words
from core.states import RunState

if TYPE_CHECKING:
    from datetime import datetime

    from core.manifest import Contents, ManifestFile
    from core.reports import (
        BackupReport,
        Delivery,
        Failure,
        Healed,
        HealReport,
        IntegrityReport,
        RestoreReport,
        Retained,
    )
    from db.executions import Execution
    from deployments.jobs import Jobs
    from deployments.schedules import Timetable
    from services.freshness import Freshness

GOOD = Text("✓", "green")
BAD = Text("✗", "red")
DOUBTFUL = Text("!", "yellow")
_SIGNS = {RunState.SUCCESS: GOOD, RunState.PARTIAL: DOUBTFUL}
_STYLES = {RunState.SUCCESS: "green", RunState.PARTIAL: "yellow"}


def problem(message: str, hint: str, sign: Text = BAD) -> RenderableType:
    """What is wrong, and below it what to do."""
    grid = _grid(("sign", {}), ("text", _FOLDED))
    grid.add_row(sign, Text(message, style=sign.style))
    if hint:
        grid.add_row("", Text.assemble(("→ ", "dim"), hint))
    return grid


def failure(one: Failure, state: RunState) -> RenderableType:
    """One failure of a run."""
    return problem(str(one), one.hint, _SIGNS.get(state, BAD))


def note(text: str) -> RenderableType:
    """A remark that is no part of the result."""
    return Text(text, "dim")


def plain(text: str) -> RenderableType:
    """Lines as they are."""
    return Text(text)


def warning(text: str) -> RenderableType:
    """Something that must not be overlooked."""
    return problem(text, "", DOUBTFUL)


def command(text: str) -> Text:
    """A command line to copy: however long, it is one line."""
    return Text(f"  {text}", "cyan", no_wrap=True)


def done(text: str) -> RenderableType:
    """One line that says that something was done."""
    return Text.assemble(GOOD, " ", text)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    figures: Container[str] = (),
    whole: Container[str] = (),
) -> Table:
    """A plain table. ``figures`` are columns aligned to the right, ``whole`` columns that are never folded."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), collapse_padding=True)
    for name in columns:
        justify: JustifyMethod = "right" if name in figures else "left"
        made.add_column(name, justify=justify, overflow="fold", no_wrap=name in whole, min_width=len(name))
    for row in rows:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, str | RenderableType]]) -> Table:
    """Names and what they stand for, one below the other."""
    grid = _grid(("name", {"style": "dim", "no_wrap": True}), ("fact", _FOLDED))
    for name, fact in pairs:
        grid.add_row(name, fact)
    return grid


def heading(state: RunState, text: str, seconds: float, *more: str) -> Text:
    """The first line of a run's result."""
    tail = ", ".join([f" in {words.duration(seconds)}", *more])
    return Text.assemble(
        _SIGNS.get(state, BAD), " ", (text, "bold"), "  ", (state.value, _STYLES.get(state, "red")), (tail, "dim")
    )


def backup(report: BackupReport) -> RenderableType:
    """What a backup made and where it is."""
    speed = words.rate(report.dump_size, report.seconds)
    files = _grid(("name", _FOLDED), ("dump", _RIGHT), ("", {}), ("stored", _RIGHT), ("share", {}), ("rows", _FOLDED))
    for file in report.files:
        files.add_row(*_file(file))
    copies = _grid(("sign", {}), ("where", _FOLDED), ("how", _FOLDED))
    for copy in report.copies:
        copies.add_row(*((GOOD, copy.storage, f"complete, {copy.checked}") if copy.complete else
                         (BAD, copy.storage, Text("not complete", "red"))))  # fmt: skip
    title = f"backup {report.backup_id} of {report.job}"
    kept = [_summed_up(one) for one in report.retention if one.policy]
    owed = [healed(report.healed)] if report.healed else []
    if report.healing_failure:
        owed.append(problem(str(report.healing_failure), report.healing_failure.hint, DOUBTFUL))
    parts = [files, copies, *owed, *kept, _told(report.notifications)]
    return Group(heading(report.state, title, report.seconds, speed), *map(_indented, parts))


def _summed_up(one: Retained) -> RenderableType:
    """Retention on one destination in a line, and what went wrong with it."""
    line = f"retention on {one.storage}: {one.summary}"
    if one.failure:
        return problem(f"{line}: {one.failure.reason}", one.failure.hint, DOUBTFUL)
    return warning(line) if one.count("due") else Text(line, "dim")


def retention(one: Retained) -> RenderableType:
    """Every decision about one destination, with its reasons."""
    title = Text.assemble((f"retention on {one.storage}", "bold"), (f"  {one.policy}", "dim"))
    if one.failure:
        return Group(title, _indented(problem(f"{one.summary}: {one.failure.reason}", one.failure.hint)))
    signs = {"kept": GOOD, "deleted": BAD, "due": DOUBTFUL}
    said = {"kept": "keep", "deleted": "deleted", "due": "delete"}
    rows = [
        (
            Text.assemble(signs[line.outcome], " ", said[line.outcome]),
            line.backup_id,
            words.moment(line.started_at),
            "; ".join(line.reasons),
        )
        for line in one.backups
    ]
    columns = ("Decision", "Backup", "When", "Why")
    shown = [table(columns, rows, whole=("Decision", "Backup", "When"))] if rows else []
    return Group(title, *map(_indented, [*shown, note(one.summary)]))


def _told(notifications: Iterable[Delivery]) -> RenderableType:
    """Who was told, and who could not be."""
    lines = _grid(("sign", {}), ("who", _FOLDED))
    for one in notifications:
        lines.add_row(GOOD if one.delivered else BAD, Text(str(one), "dim" if one.delivered else "red"))
    return lines


def _file(file: ManifestFile) -> list[str | Text]:
    label = Text(file.label, "dim" if file.kind == "globals" else "cyan")
    share = f"({words.share(file.size, file.dump_size)})"
    return [label, words.size(file.dump_size), "→", words.size(file.size), Text(share, "dim"), contents(file)]


def contents(file: ManifestFile) -> str:
    """What is in one object of a backup, as far as its manifest says."""
    if file.contents is None or file.kind == "globals":
        return ""
    databases = f"{words.count(len(file.databases), 'database')}, " if file.databases else ""
    return databases + counts(file.contents)


def counts(held: Contents) -> str:
    """How much a database holds."""
    rows = words.count(sum(held.rows.values()), "row")
    return f"{words.count(held.tables, 'table')}, {'about ' if held.estimated else ''}{rows}"


def restore(report: RestoreReport) -> RenderableType:
    """Where each database is now, and what was compared."""
    lines = _grid(("sign", {}), ("from", {"style": "cyan", "overflow": "fold"}), ("facts", _FOLDED))
    for one in report.restored:
        rows = f"{words.count(one.tables, 'table')}, {words.count(one.rows, 'row')}"
        proof = "compared with the backup's manifest" if one.compared else "nothing to compare with"
        lines.add_row(GOOD, one.database, Text.assemble("are now " if one.together else "is now ", (one.place, "bold")))
        lines.add_row("", "", Text(f"{rows}, {proof}", "dim"))
        if one.uncounted:
            lines.add_row("", "", Text(f"only estimated, so not compared: {', '.join(one.uncounted)}", "dim"))
        for note in one.notes:
            lines.add_row(DOUBTFUL, "", Text(note, "yellow"))
    if report.missing:
        told = f"the backup was partial when it was taken, and never held: {', '.join(report.missing)}"
        lines.add_row(DOUBTFUL, "", Text(told, "yellow"))
    title = f"restore of {report.backup_id} from {report.storage}"
    return Group(heading(report.state, title, report.seconds), _indented(lines), _indented(_told(report.notifications)))


def heal(report: HealReport) -> RenderableType:
    """Each copy that was owed, and whether it is there now."""
    lines = healed(report.healed) if report.healed else note("nothing is owed: every destination has its copies")
    return Group(
        heading(report.state, f"healing of {report.job}", report.seconds),
        _indented(lines),
        _indented(_told(report.notifications)),
    )


def healed(copies: Iterable[Healed]) -> RenderableType:
    """Copies that earlier runs owed."""
    grid = _grid(("sign", {}), ("text", _FOLDED))
    for one in copies:
        if one.complete:
            grid.add_row(GOOD, f"{one.backup_id} is now on {one.storage}, too, copied from {one.origin}")
        elif one.written_off:
            grid.add_row(DOUBTFUL, f"{one.backup_id} is owed to {one.storage} no longer: {one.reason}")
        else:
            grid.add_row(BAD, f"{one.backup_id} is still owed to {one.storage}: {one.reason}")
    return grid


def jobs(found: Jobs, last: Mapping[str, Execution]) -> RenderableType:
    """Each job: what it backs up, where to, when next, and how its last run ended."""
    rows = []
    for one in found.readable:
        when = found.timetables.get(one.name)
        rows.append(
            (one.name, f"{one.source} → {', '.join(one.destinations)}", _next(when), last_run(last.get(one.name)))
        )
    return table(("Name", "What", "Next run", "Last run"), rows)


def _next(when: Timetable | None) -> Text:
    if when is None:
        return Text("when told to", "dim")
    if when.paused:
        return Text("paused", "yellow")
    return Text(f"{when.next_times[0]:%Y-%m-%d %H:%M %Z}" if when.next_times else "never again")


def timetable(when: Timetable) -> RenderableType:
    """A schedule, and the next times it comes to, in its own zone."""
    if when.paused:
        return Text.assemble(str(when), ("  paused", "yellow"))
    return Group(Text(str(when)), next_times(when.next_times))


def next_times(times: Sequence[datetime]) -> RenderableType:
    """The next times, one a line."""
    return Text("\n".join(f"{'next' if at is times[0] else 'then':5}{at:%a %Y-%m-%d %H:%M %Z}" for at in times), "dim")


def last_run(run: Execution | None) -> Text:
    """How the newest run of a job ended, or that it has not yet, and when."""
    if run is None:
        return Text("none yet", "dim")
    at = run.finished_at or run.started_at or run.created_at
    sign = _SIGNS.get(run.state, BAD) if run.state.is_final else Text("·", "dim")
    return Text.assemble(sign, " ", run.state.value, "  ", (words.moment(at), "dim"))


def freshness(found: Sequence[Freshness], now: datetime) -> RenderableType:
    """How old the last good backup of each job is."""
    if not found:
        return note("no job is saved yet; make one: dbackup job create NAME --source SOURCE --to STORAGE")
    rows = []
    for one in found:
        age = one.age(now)
        sign = BAD if one.overdue else GOOD if one.overdue_after else DOUBTFUL
        limit = f"{one.overdue_after} h" if one.overdue_after else Text("nobody looks; --overdue-after", "dim")
        rows.append(
            (
                Text.assemble(sign, " ", "overdue" if one.overdue else "in time" if one.overdue_after else "unwatched"),
                one.job,
                f"{words.duration(age.total_seconds())} ago" if age else "none yet",
                limit,
            )
        )
    return table(("State", "Job", "Last good backup", "Overdue after"), rows)


def integrity(report: IntegrityReport) -> RenderableType:
    """Each backup that was looked at, and what was found."""
    signs = {"passed": GOOD, "failed": BAD}
    rows = [
        (
            Text.assemble(signs.get(one.outcome, DOUBTFUL), " ", one.outcome),
            one.backup_id,
            one.job,
            one.storage,
            words.size(one.size),
            one.reason or one.method,
        )
        for one in report.checked
    ]
    columns = ("Result", "Backup", "Job", "Where", "Size", "How")
    shown = table(columns, rows, figures=("Size",), whole=("Result", "Backup", "Size"))
    seconds = (report.finished_at - report.started_at).total_seconds()
    counts = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))
    title = f"integrity check: {counts}"
    unread = [_indented(problem(f"{one.subject}: {one.reason}", one.hint)) for one in report.unread]
    told = _indented(_told(report.notifications))
    return Group(heading(report.state, title, seconds), _indented(shown), *unread, told)


_FOLDED: dict[str, object] = {"overflow": "fold"}
_RIGHT: dict[str, object] = {"justify": "right", "no_wrap": True}


def _grid(*columns: tuple[str, dict[str, object]]) -> Table:
    grid = Table.grid(padding=(0, 1))
    for name, options in columns:
        grid.add_column(name, **options)  # type: ignore[arg-type]
    return grid


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2), expand=False)
