"""``python -m benchmarks.pages``: how long each page of the dashboard takes in a system that has grown for a year.

A real system, ``dbackup up``, is started in a home of its own and filled in bulk: 1,000 jobs, 100,000 runs, 100,000
backups. Each page is opened in Chromium by the administrator, from the navigation to the moment when its title is there
and nothing of it is being drawn any more. The table goes to standard output; nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks import crowd, machine
from benchmarks.crowd import Size
from benchmarks.report import table
from tests import system
from tests.browser import CHROMIUM, DESK
from tests.system import System, system_up, user_of

FOLDER = Path(".bench")
SECONDS = 600  # that a page may take at most, also before all jobs were read for the first time
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning]"
TICKS, MIB = os.sysconf("SC_CLK_TCK"), 1 << 20
PARTS = {"pages": "-m dashboard", "server": "blocks.server"}  # by what their argument lists hold
HEAD = ("page", "min s", "median s", "max s", "CPU s of the pages", "CPU s of the server")


@dataclass(frozen=True)
class Opened:
    """What it took to open a page once: seconds, and seconds of CPU of each part of the system."""

    seconds: float
    cpu: dict[str, float]


def main() -> int:
    """Measure what the arguments ask for."""
    wish = _arguments()
    if wish.database:
        os.environ["DBACKUP_DATABASE_URL"] = wish.database
    system.START_SECONDS = 600
    with _folder(wish.folder) as folder:
        given = {"DBACKUP_DATABASE_URL": wish.database} if wish.database else {}
        with system_up(folder / "home", **given) as running, _user(running, given):
            print(_measured(wish, running, folder), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description="Open every page of a large system."
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--backups", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is opened (5)")
    parser.add_argument("--folder", type=Path, help="keep the system here, and use what an earlier run has left there")
    parser.add_argument("--database", default="", help="the URL of an empty PostgreSQL database, instead of SQLite")
    return parser.parse_args()


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=FOLDER) as made:
        yield Path(made).absolute()


@contextmanager
def _user(running: System, given: dict[str, str]) -> Iterator[None]:
    with user_of(running.home):
        os.environ.update(given)
        yield


def _measured(wish: argparse.Namespace, running: System, folder: Path) -> str:
    if not crowd.is_filled():
        _say(f"filling {wish.jobs} jobs, {wish.runs} runs, {wish.backups} backups")
        crowd.fill(folder, Size(wish.jobs, wish.runs, wish.backups))
    facts = {**machine.hardware(folder), "catalog": "PostgreSQL" if wish.database else "SQLite"}
    before, found = machine.load(), _rounds(wish.rounds, running)
    memory = f"{_memory(running) / MIB:.0f} MiB"
    facts |= {"memory of the process of the pages": memory, "load average before": before, "and after": machine.load()}
    rows = [_row(name, opened) for name, opened in found.items()]
    return f"{table(HEAD, rows)}\n\n{machine.listed(facts)}"


def _row(name: str, opened: Sequence[Opened]) -> tuple[str, ...]:
    seconds = [one.seconds for one in opened]
    cpu = [median(one.cpu[part] for one in opened) for part in PARTS]
    return (name, *(f"{one:.2f}" for one in (min(seconds), median(seconds), max(seconds), *cpu)))


def _rounds(number: int, running: System) -> dict[str, list[Opened]]:
    from dashboard.views import SECTIONS

    pages = [page for section in SECTIONS.values() for page in section]
    found: dict[str, list[Opened]] = {page.title: [] for page in pages}
    with _browser(running) as browser:
        for page in pages:  # what a browser keeps of a page, and what the program imports for it
            _opened(browser, running, page.path)
        for _ in range(number):
            for page in pages:
                found[page.title].append(one := _opened(browser, running, page.path))
                _say(f"{page.title:20} {one.seconds:6.2f} s")
    return found


@contextmanager
def _browser(running: System) -> Iterator[Page]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        context = opened.new_context(base_url=f"http://127.0.0.1:{running.port}", viewport=DESK)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Name").fill(crowd.ADMINISTRATOR)
        page.get_by_label("Password").fill(crowd.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector(DRAWN)
        yield page
        opened.close()


def _opened(browser: Page, running: System, path: str) -> Opened:
    """Open a page. ``h1`` is its title: the program draws it, so it is there only after the page was begun."""
    before, began = _cpu(running), time.perf_counter()
    browser.goto(f"/{path}", wait_until="commit")
    browser.locator("h1").first.wait_for()
    browser.wait_for_selector(DRAWN)
    seconds, after = time.perf_counter() - began, _cpu(running)
    return Opened(seconds, {part: after[part] - before[part] for part in PARTS})


def _cpu(running: System) -> dict[str, float]:
    found = {}
    for part, mark in PARTS.items():
        fields = Path(f"/proc/{running.process_of(mark)}/stat").read_text().rpartition(")")[2].split()
        found[part] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def _memory(running: System) -> int:
    status = Path(f"/proc/{running.process_of(PARTS['pages'])}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
