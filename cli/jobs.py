"""``dbackup job``: backups that are described once, and run by their name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import addresses
from cli.command import command
from cli.exits import FAILED, PARTIAL
from cli.options import Name
from cli.output import Output
from cli.runs import back_up, watched
from cli.specs import specified
from cli.wishes import Many, Wish, wishes

if TYPE_CHECKING:
    from core.jobs import JobSpec
    from deployments.jobs import UnreadableJob

jobs = typer.Typer(help="Backups that are described once, and run by their name.", no_args_is_help=True)


@command(jobs, takes=wishes)
def create(
    out: Output,
    wish: Wish,
    *,
    name: Name,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The saved source.", show_default=False)],
    to: Annotated[
        Many, typer.Option("--to", metavar="NAME", help="A saved storage. Can be repeated.", show_default=False)
    ],
) -> None:
    """Describe a backup: what, where to, how, and how long to keep it."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render
    from core.jobs import JobSpec

    destinations = tuple(map(addresses.storage, to))
    spec = specified(JobSpec, name=name, source=addresses.source(source), destinations=destinations, **wish)
    with out.waiting("saving"):
        actions.create(LOCAL_ADMINISTRATOR, spec)
    out.answer({"created": name}, render.done(f"job {name} is saved; run it: dbackup job run {name}"))


@command(jobs, "list")
def list_(out: Output) -> None:
    """List the jobs."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("looking"):
        found = actions.everything(LOCAL_ADMINISTRATOR)
    rows = [(one.name, str(one.source), ", ".join(one.destinations), one.profile or "none") for one in found.readable]
    shown = render.table(("Name", "Source", "To", "Profile"), rows)
    nothing = render.note("no job is saved yet; make one: dbackup job create NAME --source SOURCE --to STORAGE")
    broken = [render.problem(one.problem, one.hint) for one in found.unreadable]
    tables = [shown] if rows else [] if broken else [nothing]
    out.answer({"jobs": found.readable, "unreadable": _told(found.unreadable)}, *tables, *broken)


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
    out.answer(spec, render.facts(_facts(spec)))


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
def run(out: Output, name: Name) -> None:
    """Run a job now."""
    from actions import jobs as actions
    from actions.door import LOCAL_ADMINISTRATOR

    spec = actions.get(LOCAL_ADMINISTRATOR, name)
    back_up(out, spec, lambda: actions.run(LOCAL_ADMINISTRATOR, name))


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
