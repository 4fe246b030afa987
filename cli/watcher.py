"""Progress on a terminal: one line for each step, with its bytes, its rate and the time left.

A dump's total is an estimate: until the step has ended its bar never shows the end, and once the estimate has
proven too small the bar only shows that bytes go on flowing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

from cli import words
from cli.render import BAD, GOOD
from services.progress import watched_by

_PREPARING = "preparing"
_BAR = 12  # columns
_OTHERS = 54  # columns that everything but the name of a step takes


@contextmanager
def progress(console: Console) -> Iterator[Bars]:
    """Within this context the steps of a run are drawn, if the console is a terminal; they are measured anyway."""
    with _lines(console) as drawn:
        bars = Bars(drawn)
        try:
            with watched_by(bars):
                yield bars
        finally:
            bars.end()


def _lines(console: Console) -> Progress:
    width = min(40, max(16, console.width - _OTHERS))
    return Progress(
        _Sign(),
        _Name(width),
        _Bar(bar_width=_BAR),
        _Figures(),
        console=console,
        refresh_per_second=8,
        disable=not console.is_terminal,
    )


class _Sign(ProgressColumn):
    """A spinner while the step runs, then how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self._spinner = Spinner("dots", style="cyan")

    def render(self, task: Task) -> RenderableType:
        """The sign of one line."""
        good = task.fields["good"]
        return self._spinner.render(task.get_time()) if good is None else GOOD if good else BAD


class _Name(ProgressColumn):
    """What the step is about, in so many columns."""

    def __init__(self, width: int) -> None:
        super().__init__(Column(width=width, no_wrap=True, overflow="ellipsis"))
        self._width = width

    def render(self, task: Task) -> Text:
        """The name of one line."""
        return Text(shortened(task.description, self._width))


def shortened(name: str, width: int) -> str:
    """A name in at most ``width`` columns, without its middle: steps begin alike and end in where they lead."""
    if len(name) <= width:
        return name
    beginning = width // 3
    return f"{name[:beginning]}…{name[beginning + 1 - width :]}"


class _Bar(BarColumn):
    """A bar that only moves to and fro once a step has gone beyond its estimate."""

    def render(self, task: Task) -> ProgressBar:
        """The bar of one line."""
        bar = super().render(task)
        bar.pulse = bar.pulse or task.fields["beyond"]
        return bar


class _Figures(ProgressColumn):
    """Bytes, rate, and the time left or taken."""

    def render(self, task: Task) -> Text:
        """The figures of one line."""
        taken = task.elapsed or 0.0
        ended = task.fields["good"] is not None
        if not task.fields["done"]:
            return Text(f"{'':22}{words.duration(taken)}" if ended else "", "dim")
        done = task.fields["done"]
        speed = done / taken if ended and taken else task.speed or 0.0
        clock = words.duration(taken) if ended else _left(task)
        return Text.assemble(
            f"{words.size(done):>9}", (f" {words.size(speed) + '/s':>11}", "cyan"), (f" {clock}", "dim")
        )


def _left(task: Task) -> str:
    """The time left, as far as it can be known."""
    left = None if task.fields["beyond"] else task.time_remaining
    return f"{words.duration(int(left))} left" if left else ""


@dataclass
class _Step:
    """A line on the terminal. ``running`` counts the steps that share it, for they have one name."""

    line: TaskID
    total: int
    done: int = 0
    running: int = 1
    good: bool = True


class Bars:
    """A watcher that draws each step as a line of ``drawn``."""

    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._steps: dict[str, _Step] = {}
        self._lock = threading.Lock()
        self._preparing: TaskID | None = self._line(_PREPARING, 0)

    def started(self, step: str, total: int | None) -> None:
        """Add a line; a step that is tried again begins its line anew."""
        self.end()
        with self._lock:
            known = self._steps.get(step)
            if known and known.running:
                known.running += 1
                known.total += total or 0
                return
            if known:
                self._drawn.remove_task(known.line)
            self._steps[step] = _Step(self._line(step, total or 0), total or 0)

    def advanced(self, step: str, size: int) -> None:
        """Move the line forward."""
        with self._lock:
            known = self._steps[step]
            known.done += size
            beyond = 0 < known.total <= known.done
            total = known.done + 1 if beyond else known.total or None
            self._drawn.update(known.line, total=total, completed=known.done, done=known.done, beyond=beyond)

    def ended(self, step: str, *, good: bool) -> None:
        """Put the sign of how it ended before the line."""
        with self._lock:
            known = self._steps[step]
            known.running -= 1
            known.good = known.good and good
            if known.running:
                return
            if known.good:
                whole = max(known.done, 1)
                self._drawn.update(known.line, total=whole, completed=whole)
            self._drawn.update(known.line, good=known.good, beyond=False)
            self._drawn.stop_task(known.line)

    def moved(self, kind: str) -> tuple[int, float]:
        """The bytes and the seconds of all steps whose name begins with this word."""
        with self._lock:
            steps = [step for name, step in self._steps.items() if name.partition(" ")[0] == kind]
            lines = {line.id: line for line in self._drawn.tasks}
            return sum(step.done for step in steps), sum(lines[step.line].elapsed or 0.0 for step in steps)

    def _line(self, name: str, total: int) -> TaskID:
        return self._drawn.add_task(name, total=total or None, done=0, beyond=False, good=None)

    def end(self) -> None:
        """Remove the line that says that nothing has begun yet."""
        with self._lock:
            if self._preparing is not None:
                self._drawn.remove_task(self._preparing)
                self._preparing = None
