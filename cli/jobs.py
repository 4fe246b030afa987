"""``dbackup job``: backups that are described once, and run by their name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import addresses
from cli.command import command
from cli.exits import FAILED, INTERRUPTED, PARTIAL, TERMINATED, LeftRunning
from cli.options import Name
from cli.output import Output, WrongUsage
from cli.runs import back_up, told, watched
from cli.specs import specified
from cli.wishes import Many, Wish, chosen, wishes
from core.errors import ConfigurationError, WrongName

if TYPE_CHECKING:
    from core.jobs import JobSpec
    from core.reports import BackupReport
    from db.executions import Execution
    from deployments.jobs import UnreadableJob

jobs = typer.Typer(help="Backups that are described once, and run by their name.", no_args_is_help=True)

_SCHEDULE = "When it runs"
_START_THERE = "start a worker where its source can be reached: dbackup up --queue"
Cron = Annotated[
    str | None,
    typer.Option(
        metavar="CRON",
        help='Minute, hour, day, month, weekday, in --timezone: "0 3 * * *" is daily at three.',
        rich_help_panel=_SCHEDULE,
        show_default="only when told to",
    ),
]
CatchUp = Annotated[
    bool,
    typer.Option(help="Make up one run for those missed while nothing could run.", rich_help_panel=_SCHEDULE),
]
QueueLabel = Annotated[
    str,
    typer.Option(
        "--queue",
        metavar="LABEL",
        help="Only workers that serve this label take its runs.",
        rich_help_panel="Where it runs",
    ),
]


@command(jobs, takes=wishes)
def create(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    wish: Wish,
    *,
    name: Name,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The saved source.", show_default=False)],
    to: Annotated[
        Many, typer.Option("--to", metavar="NAME", help="A saved storage. Can be repeated.", show_default=False)
    ],
    cron: Cron = None,
    catch_up: CatchUp = True,
    label: QueueLabel = "default",
) -> None:
    """Describe a backup: what, where to, how, when, and how long to keep it."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import JobSpec

    destinations = tuple(map(addresses.storage, to))
    own = {"source": addresses.source(source), "destinations": destinations, "catch_up": catch_up, "queue": label}
    spec = specified(JobSpec, name=name, **own, **wish)
    times = _previewed(cron, spec.timezone)
    with out.waiting("saving"), _wrong_names():
        actions.create(LOCAL_ADMINISTRATOR, spec, cron or "")
    told = [render.next_times(times)] if times else []
    out.answer(
        {"created": name, "next_times": times},
        render.done(f"job {name} is saved; run it: dbackup job run {name}"),
        *told,
    )
    _warn_of(out, spec)


def _warn_of(out: Output, spec: JobSpec) -> None:
    """Say when a job waits under a label that nobody serves; that nobody serves anything is no news."""
    from actions import queue
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import DEFAULT_QUEUE

    if spec.queue != DEFAULT_QUEUE and not queue.queue(LOCAL_ADMINISTRATOR).serves(spec.queue):
        out.note(render.problem(f"nobody takes from the queue {spec.queue} now", f"{_START_THERE} {spec.queue}"))


@contextmanager
def _wrong_names() -> Iterator[None]:
    """Within this context a name that nothing is saved under is wrong usage, as any other wrong option is."""
    try:
        yield
    except WrongName as error:
        raise WrongUsage(error.message, hint=error.hint) from None


def _previewed(cron: str | None, timezone: str) -> Sequence[Any]:
    """The next times of a schedule. Raises WrongUsage for one that cannot be used."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR

    try:
        return actions.preview(LOCAL_ADMINISTRATOR, cron, timezone) if cron else ()
    except ConfigurationError as error:
        raise WrongUsage(f"--cron: {error.message}", hint=error.hint) from None


@command(jobs, takes=wishes)
def edit(  # noqa: PLR0913 - the parameters of a command are its options
    out: Output,
    wish: Wish,
    *,
    context: typer.Context,
    name: Name,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Another source.", show_default=False)] = "",
    to: Annotated[
        Many | None,
        typer.Option("--to", metavar="NAME", help="Other storages, instead of all it has.", show_default=False),
    ] = None,
    cron: Cron = None,
    catch_up: CatchUp = True,
    label: QueueLabel = "default",
) -> None:
    """Change what the given options say, and nothing else. Its runs and backups stay.

    An empty text takes a choice away: --profile "", --cron "", --notify "". So does --overdue-after 0.
    """
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import JobSpec

    change = chosen({**wish, "catch_up": catch_up, "label": label}, context)
    change |= {"source": addresses.source(source)} if source else {}
    change |= {"destinations": tuple(map(addresses.storage, to))} if to else {}
    change |= {"queue": change.pop("label")} if "label" in change else {}
    if not change and cron is None:
        raise WrongUsage("nothing is to be changed", hint=f"see what can be: dbackup job edit {name} --help")
    with out.waiting("saving"):
        spec = specified(JobSpec, **(dict(actions.get(LOCAL_ADMINISTRATOR, name)) | change))
        _previewed(cron, spec.timezone)
        with _wrong_names():
            actions.edit(LOCAL_ADMINISTRATOR, spec, cron)
        timetable = actions.timetable(LOCAL_ADMINISTRATOR, name)
    told = [render.timetable(timetable)] if timetable else []
    out.answer({"edited": name, "schedule": timetable}, render.done(f"job {name} is changed"), *told)
    _warn_of(out, spec)


@command(jobs)
def clone(
    out: Output,
    name: Name,
    copy: Annotated[str, typer.Argument(metavar="COPY", help="The name of the clone.", show_default=False)],
) -> None:
    """Save a job under another name as well. The clone starts paused."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.clone(LOCAL_ADMINISTRATOR, name, copy)
    out.answer(
        {"cloned": name, "as": copy}, render.done(f"job {copy} is saved, and paused where {name} has a schedule")
    )


@command(jobs)
def rename(
    out: Output,
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name it should have.", show_default=False)],
) -> None:
    """Say how a job gets another name. It keeps its own: its name stands in its backups, which are never changed."""
    raise WrongUsage(
        f"the job {name} cannot be renamed: its name stands in each of its backups, and these are never changed",
        hint=f"clone it: dbackup job clone {name} {new}; resume {new}, and pause {name}, whose rules keep its backups",
    )


@command(jobs)
def pause(out: Output, name: Name) -> None:
    """Let a job not run by itself until it is resumed."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.pause(LOCAL_ADMINISTRATOR, name)
    out.answer({"paused": name}, render.done(f"job {name} is paused; go on with: dbackup job resume {name}"))


@command(jobs)
def resume(out: Output, name: Name) -> None:
    """Let a paused job run by itself again."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.resume(LOCAL_ADMINISTRATOR, name)
    timetable = actions.timetable(LOCAL_ADMINISTRATOR, name)
    told = [render.timetable(timetable)] if timetable else []
    out.answer({"resumed": name, "schedule": timetable}, render.done(f"job {name} is resumed"), *told)


@command(jobs, "list")
def list_(out: Output) -> None:
    """List the jobs."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        found = actions.everything(LOCAL_ADMINISTRATOR)
        last = actions.last_runs(LOCAL_ADMINISTRATOR)
    nothing = render.note("no job is saved yet; make one: dbackup job create NAME --source SOURCE --to STORAGE")
    broken = [render.problem(one.problem, one.hint) for one in found.unreadable]
    tables = [render.jobs(found, last)] if found.readable else [] if broken else [nothing]
    answer = {"jobs": found.readable, "unreadable": _told(found.unreadable), "schedules": found.timetables}
    out.answer(answer | {"last_runs": {name: _run_told(run) for name, run in last.items()}}, *tables, *broken)


def _run_told(run: Execution | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {"state": run.state, "started_at": run.started_at, "finished_at": run.finished_at, "summary": run.summary}


def _told(jobs: Sequence[UnreadableJob]) -> list[dict[str, str]]:
    return [{"name": one.name, "problem": one.problem, "hint": one.hint} for one in jobs]


@command(jobs)
def show(out: Output, name: Name) -> None:
    """Show one job."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        spec = actions.get(LOCAL_ADMINISTRATOR, name)
        timetable = actions.timetable(LOCAL_ADMINISTRATOR, name)
        last = actions.last_runs(LOCAL_ADMINISTRATOR).get(name)
    answer = spec.model_dump(mode="json") | {"schedule": timetable, "last_run": _run_told(last)}
    never = f'it never does; dbackup job edit {name} --cron "0 3 * * *"'
    runs = [
        ("runs by itself", render.timetable(timetable) if timetable else never),
        ("last run", render.last_run(last)),
    ]
    out.answer(answer, render.facts([*_facts(spec), *runs]))


def _facts(spec: JobSpec) -> list[tuple[str, str]]:
    """What is said of a job; what nobody chose is left out."""
    chosen = spec.model_dump(mode="json", exclude_defaults=True)
    written = {
        name.replace("_", " "): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in chosen.items()
    }
    unprotected = {} if spec.profile else {"profile": "none: its backups are not encrypted"}
    return list(({"name": spec.name} | written | unprotected).items())


@command(jobs)
def run(
    out: Output,
    name: Name,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end, or only put it in the queue.")] = True,
) -> None:
    """Run a job: in the queue when a system takes from it (dbackup up), else here and now.

    Ctrl-C leaves a run that is in the queue alone, and cancels one that runs here.
    """
    from actions import jobs as actions
    from actions import queue
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import DEFAULT_QUEUE

    spec = actions.get(LOCAL_ADMINISTRATOR, name)
    served = queue.queue(LOCAL_ADMINISTRATOR).serves(spec.queue)
    if not served and spec.queue != DEFAULT_QUEUE:  # this machine may not be one that it is meant for
        raise WrongUsage(f"nobody takes from the queue {spec.queue}", hint=f"{_START_THERE} {spec.queue}")
    if not wait:
        if not served:
            raise WrongUsage("nobody takes from the queue", hint="start the system with dbackup up, or leave it out")
        put = actions.enqueue(LOCAL_ADMINISTRATOR, name)
        out.answer({"run": put}, render.done(f"run {put} of {name} is in the queue; see dbackup queue"))
    elif served:
        watched(out, lambda: _in_queue(out, name), lambda report: told(report, spec))
    else:
        out.note(render.note("no system takes from the queue, so the job runs here, in this process"))
        back_up(out, spec, lambda: actions.run(LOCAL_ADMINISTRATOR, name))


def _in_queue(out: Output, name: str) -> BackupReport:
    """Run a job in the queue, and tell what it does. Raises LeftRunning when nobody waits for its end any more."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    ids: list[str] = []

    def put(run: str) -> None:
        ids.append(run)
        out.note(render.note(f"run {run} is in the queue; Ctrl-C only stops watching it"))

    try:
        return actions.run_in_queue(
            LOCAL_ADMINISTRATOR, name, put, lambda stage: out.note(render.note(f"{name} {stage}"))
        )
    except (KeyboardInterrupt, SystemExit) as told_to_end:
        if not ids:
            raise
        code = INTERRUPTED if isinstance(told_to_end, KeyboardInterrupt) else TERMINATED
        raise LeftRunning(
            f"run {ids[0]} of {name} goes on", f"end it with: dbackup run cancel {ids[0]}", code
        ) from None


@command(jobs)
def prune(
    out: Output, name: Name, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False
) -> None:
    """Apply the job's rules now: delete what none of them keeps, with a reason for every backup.

    The exit code is 1 when something could not be decided or deleted, 3 when that is so on some destinations only.
    """
    from actions import jobs as actions
    from actions import retention
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        spec = actions.get(LOCAL_ADMINISTRATOR, name)
        decided = retention.prune(LOCAL_ADMINISTRATOR, spec, dry_run=dry_run)
    out.answer({"dry_run": dry_run, "destinations": decided}, *map(render.retention, decided))
    bad = [bool(one.failure) or (bool(one.count("due")) and not dry_run) for one in decided]
    if any(bad):  # said above, with the reasons
        raise typer.Exit(FAILED if all(bad) else PARTIAL)


@command(jobs)
def heal(out: Output, name: Name) -> None:
    """Bring to each destination what earlier runs could not, from another destination."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    watched(out, lambda: actions.heal(LOCAL_ADMINISTRATOR, name), lambda report: [render.heal(report)])


@command(jobs)
def overdue(out: Output) -> None:
    """Look for jobs without a good backup for too long, and tell their channels: once, then once a day.

    Made for cron: the exit code is 1 when there is one, or a job that cannot be read.
    """
    from datetime import UTC, datetime

    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        look = actions.check_freshness(LOCAL_ADMINISTRATOR)
    ages = [one.freshness for one in look.checked]
    jobs = [{"freshness": one.freshness, "notifications": one.told} for one in look.checked]
    shown = [render.freshness(ages, datetime.now(UTC))] if ages or not look.unreadable else []
    broken = [render.problem(one.problem, one.hint) for one in look.unreadable]
    out.answer({"jobs": jobs, "unreadable": _told(look.unreadable)}, *shown, *broken)
    for delivery in (delivery for one in look.checked for delivery in one.told):
        out.note(render.done(str(delivery)) if delivery.delivered else render.problem(str(delivery), delivery.hint))
    if look.unreadable or any(one.overdue for one in ages):
        raise typer.Exit(FAILED)


@command(jobs)
def delete(out: Output, name: Name) -> None:
    """Forget a job. Its backups stay."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    actions.delete(LOCAL_ADMINISTRATOR, name)
    out.answer({"deleted": name}, render.done(f"job {name} is forgotten; its backups stay"))
