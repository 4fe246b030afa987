"""``dbackup up`` and ``queue``: the whole system of this machine, and the queue it works on."""

from __future__ import annotations

import signal
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import command
from cli.output import Output

if TYPE_CHECKING:
    from types import FrameType

    from deployments.supervisor import News

app = typer.Typer()


@command(app)
def up(out: Output) -> None:
    """Run everything: Prefect's server, the queue and its worker, until it is told to end (Ctrl-C, SIGTERM)."""
    from actions import queue
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import words

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
        _invite(out)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, told)
    queue.run(LOCAL_ADMINISTRATOR, lambda news: out.note(_line(news)), started, ended)
    out.note("stopped")


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
    out.answer({"limit": found.limit, "workers": found.workers, "runs": held}, head, "", table_of_runs, "", told)
