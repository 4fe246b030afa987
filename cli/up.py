"""``dbackup up`` and ``queue``: the whole system of this machine, or its share of one, and the queue it works on."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.command import command
from cli.output import Output, WrongUsage

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import RenderableType

    from core.runs import Run
    from deployments.pool import Queue
    from deployments.supervisor import News

app = typer.Typer()


@command(app)
def up(
    out: Output,
    *,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            metavar="LABEL",
            help="Take only what waits under this label; without it, what has none. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    worker: Annotated[bool, typer.Option("--worker", help="Only work for a Prefect server of others.")] = False,
) -> None:
    """Run everything: Prefect's server, the queue and its worker, until it is told to end (Ctrl-C, SIGTERM)."""
    from actions import queue
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import words
    from deployments.system import Extent

    extent = Extent(_labels(labels), worker)

    begun, ended = time.monotonic(), Event()

    def stop() -> None:
        out.note("stopping: what runs is cancelled and cleaned up")
        ended.set()

    def told(number: int, frame: FrameType | None) -> None:
        # A handler interrupts what waits for this very event, and may hold its lock, or that of standard error.
        Thread(target=stop).start()

    def started() -> None:
        seconds = time.monotonic() - begun
        out.answer({"ready": True, "seconds": round(seconds, 1)}, f"ready after {words.duration(seconds)}")
        if not worker:  # it has no pages to log in at
            _invite(out)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, told)
    queue.run(LOCAL_ADMINISTRATOR, extent, lambda news: out.note(_line(news)), started, ended)
    out.note("stopped")


def _labels(given: list[str] | None) -> tuple[str, ...]:
    """The labels that are to be served. Raises WrongUsage for what cannot be one."""
    from core.jobs import DEFAULT_QUEUE, queue_label

    try:
        return tuple(map(queue_label, dict.fromkeys(given or [DEFAULT_QUEUE])))
    except ValueError as error:
        raise WrongUsage(f"--queue cannot be used: {error}", hint="see what is possible with: --help") from None


def _invite(out: Output) -> None:
    """Where nobody can log in as an administrator yet, the way in."""
    from actions import sessions, users
    from actions.door import LOCAL_ADMINISTRATOR
    from core.settings import settings

    if sessions.needs_administrator():
        link = f"/setup?link={users.invite_administrator(LOCAL_ADMINISTRATOR)}"
        out.note(
            f"nobody can log in yet; the first administrator is made here, once, within an hour:\n  http://{settings().web_host}:{settings().web_port}{link}"
        )


def _line(news: News) -> str:
    from deployments.supervisor import Change

    signs = {Change.READY: "✓", Change.STARTED_AGAIN: "✓", Change.STOPPED: "·"}
    return f"{signs.get(news.change, '!')} {news.part:8} {news.change.value}{'  ' * bool(news.detail)}{news.detail}"


@command(app, "queue")
def show(
    out: Output,
    *,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="How many runs at once, from now on.")] = None,
) -> None:
    """Show the queue: what runs and what waits, in order, how many may run at once, and who takes them."""
    from actions import queue, runs
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render_runs, words
    from cli.render import note, table

    if limit is not None:
        queue.set_limit(LOCAL_ADMINISTRATOR, limit)
    with out.waiting("looking"):
        found, held = queue.queue(LOCAL_ADMINISTRATOR), runs.at_hand(LOCAL_ADMINISTRATOR)
    workers = table(("Worker", "State"), [(one.name, "alive" if one.alive else "silent") for one in found.workers])
    told = workers if found.workers else note("nobody takes from it; start the system: dbackup up")
    table_of_runs = render_runs.table(held) if held else note("it is empty")
    head = f"at most {words.count(found.limit, 'run') if found.limit else 'any number of runs'} at once"
    answer = {"limit": found.limit, "workers": found.workers, "served": sorted(found.served), "runs": held}
    out.answer(answer, head, "", table_of_runs, "", told, *_by_label(found, held))


def _by_label(found: Queue, held: Sequence[Run]) -> list[RenderableType]:
    """Who takes what waits under which label, unless there are no labels."""
    from cli.render import table
    from core.jobs import DEFAULT_QUEUE

    waiting = Counter(one.queue for one in held if one.position)
    labels = sorted({*found.served, *waiting} - {""})
    if labels in ([], [DEFAULT_QUEUE]):
        return []
    rows = [(one, str(waiting[one]), _taken(found, one)) for one in labels]
    return ["", table(("Queue", "Waiting", ""), rows, figures=("Waiting",), whole=("Queue", "Waiting"))]


def _taken(found: Queue, label: str) -> Text:
    if found.serves(label):
        return Text("is served", "dim")
    return Text(f"nobody takes from it: dbackup up --queue {label}", "red")
