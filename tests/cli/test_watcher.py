"""Progress bars: never at the end too early, never stuck, one for each name, silent without a terminal."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.progress import Progress, Task

from cli.watcher import Bars, progress
from services.progress import step


class Drawn(Progress):
    """Lines that are kept, not shown."""

    def __init__(self) -> None:
        super().__init__(disable=True)

    def line(self, name: str) -> Task:
        (found,) = (one for one in self.tasks if one.description == name)
        return found


@pytest.fixture
def drawn() -> Iterator[Drawn]:
    yield Drawn()


def test_a_step_that_goes_beyond_its_estimate_never_shows_the_end(drawn: Drawn) -> None:
    bars = Bars(drawn)
    bars.started("dump shop", 100)
    for done in range(10, 500, 10):
        bars.advanced("dump shop", 10)
        line = drawn.line("dump shop")
        assert not line.finished
        assert line.fields["done"] == done
        assert line.fields["beyond"] == (done >= 100), "beyond its estimate the bar only moves to and fro"
    bars.ended("dump shop", good=True)
    assert (drawn.line("dump shop").finished, drawn.line("dump shop").fields["good"]) == (True, True)


def test_a_step_without_bytes_or_total_ends_complete(drawn: Drawn) -> None:
    bars = Bars(drawn)
    bars.started("upload shop", None)
    bars.ended("upload shop", good=True)
    assert drawn.line("upload shop").percentage == 100


def test_a_step_that_failed_does_not_look_complete(drawn: Drawn) -> None:
    bars = Bars(drawn)
    bars.started("verify shop", 100)
    bars.advanced("verify shop", 40)
    bars.ended("verify shop", good=False)
    assert (drawn.line("verify shop").percentage, drawn.line("verify shop").fields["good"]) == (40, False)


def test_a_step_that_is_tried_again_begins_its_line_anew(drawn: Drawn) -> None:
    bars = Bars(drawn)
    for good in (False, True):
        bars.started("upload shop", 100)
        assert drawn.line("upload shop").fields["done"] == 0
        bars.advanced("upload shop", 30)
        bars.ended("upload shop", good=good)
    assert drawn.line("upload shop").fields["good"] is True


def test_steps_of_one_name_share_a_line_until_the_last_has_ended(drawn: Drawn) -> None:
    bars = Bars(drawn)
    together = threading.Barrier(8)
    threads = [threading.Thread(target=_verify, args=(bars, together)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn.line("verify shop").fields == {"done": 8000, "beyond": False, "good": True}
    assert bars.moved("verify")[0] == 8000


def _verify(bars: Bars, together: threading.Barrier) -> None:
    together.wait()
    bars.started("verify shop", 1000)
    together.wait()
    for _ in range(100):
        bars.advanced("verify shop", 10)
    bars.ended("verify shop", good=True)


def test_without_a_terminal_nothing_is_drawn_but_all_is_measured() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress(console) as bars, step("dump shop", 100) as advance:
        advance(50)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    assert bars.moved("dump")[0] == 50


def test_on_a_terminal_each_step_ends_with_its_sign_and_figures() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress(console), step("dump shop", 2_000_000) as advance:
        advance(1_500_000)
    last = next(line for line in reversed(_lines(console)) if "dump shop" in line)
    assert "✓" in last
    assert "1.5 MB" in last
    assert "preparing" not in last


def _lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_nothing_is_left_of_a_run_that_fails_before_its_first_step() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with pytest.raises(InterruptedError), progress(console):
        raise InterruptedError
    assert "preparing" not in _lines(console)[-1]
