"""Tables of what was measured, in Markdown: medians over the rounds, and ratios within the same round."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.contestants import FLOOR, Contestant
from benchmarks.measure import Figures

Round = dict[str, Figures]
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARKED = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- /measured -->)", re.DOTALL)
MIB = 1 << 20
HEAD = ("", "wall s", "CPU s", "peak MiB", "output MiB", "wall × floor", "CPU × floor", "wall × rival")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for those who read it as text; all but the first hold numbers."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| "
        + " | ".join(_padded(cell, width, first=not i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in cells
    ]
    rule = "|".join(f"-{'-' * width}{'-' if not i else ':'}" for i, width in enumerate(widths))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def speed(contestants: Sequence[Contestant], rounds: Sequence[Round]) -> str:
    """One line for each contestant."""
    return table(HEAD, [_line(contestant, rounds) for contestant in contestants])


def memory(found: Sequence[tuple[str, int, dict[str, int]]]) -> str:
    """One line for each database: its size, and what a process of ours took."""
    head = ("", "dump MiB", "idle MiB", "peak MiB", "growth MiB")
    return table(
        head,
        [
            (name, _mib(size), _mib(one["idle"]), _mib(one["peak"]), _mib(one["peak"] - one["idle"]))
            for name, size, one in found
        ],
    )


def write(text: str) -> None:
    """Put the text between the marks of the page in the documentation."""
    PAGE.write_text(MARKED.sub(lambda _: f"\n{text}\n\n", PAGE.read_text()))


def _line(contestant: Contestant, rounds: Sequence[Round]) -> tuple[str, ...]:
    own = [one[contestant.name] for one in rounds]
    output = own[0].output
    return (
        contestant.name,
        f"{median(one.wall for one in own):.2f}",
        f"{median(one.cpu for one in own):.2f}",
        _mib(median(one.peak for one in own)),
        _mib(output) if output else "",
        f"{median(one[contestant.name].wall / one[FLOOR].wall for one in rounds):.2f}",
        f"{median(one[contestant.name].cpu / one[FLOOR].cpu for one in rounds):.2f}",
        _beside(contestant, rounds),
    )


def _beside(contestant: Contestant, rounds: Sequence[Round]) -> str:
    if contestant.rival is None or contestant.rival not in rounds[0]:
        return ""
    ratio = median(one[contestant.name].wall / one[contestant.rival].wall for one in rounds)
    return f"{ratio:.2f} ({contestant.rival})"


def _mib(size: float) -> str:
    return f"{size / MIB:.1f}"


def _padded(cell: str, width: int, *, first: bool) -> str:
    return cell.ljust(width) if first else cell.rjust(width)
