"""Keeps programs running: starts them in order, starts one that dies again, and ends them in reverse order.

A part that keeps dying is started after pauses that grow to a minute; one that has run well for a minute counts as new.
It is started again only while every part before it that is needed is ready. Logs are turned over while parts run.
Parts die with this process, whatever kills it: the kernel ends them when the thread that started them is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event

from core.errors import ConfigurationError, ConnectionError, DBackupError
from core.masking import mask

LOOK_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a part is started again
WELL = 60.0  # seconds after which a part counts as new
LARGEST_LOG = 8 << 20  # bytes; the one before it is kept
_LEASH = ("--pdeathsig", "KILL", "--")


@dataclass(frozen=True)
class Part:
    """A program: what it is called, how it is started, when it is ready, and how many seconds each takes at most.

    ``environment`` is added to ours and may hold a secret: an argument list is visible to all, an environment is not.
    The next part starts only once a ``needed`` one is ready; others start side by side.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool] = field(repr=False)
    address: Callable[[], str] = field(default=lambda: "", repr=False)
    environment: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    prepare: Callable[[], object] = field(default=lambda: None, repr=False)  # called before each start
    needed: bool = True
    start_seconds: float = 90.0
    stop_seconds: float = 10.0


class Change(StrEnum):
    """What happens to a part."""

    READY = "ready"
    DIED = "died"
    STARTED_AGAIN = "started again"
    STOPPED = "stopped"
    KILLED = "killed"


@dataclass(frozen=True)
class News:
    """Something that happened to a part; ``detail`` is where it answers, or how it ended."""

    part: str
    change: Change
    detail: str = ""


Tell = Callable[[News], None]


class _Running:
    """One part and its process."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part, self._log = part, log
        self.process: subprocess.Popen[bytes] | None = None
        self._since = self._pause = self.due = 0.0

    def start(self) -> None:
        """Start the process, its output in its log. Raises DBackupError when that cannot be done."""
        self._since = time.monotonic()
        self._make_room()
        self.part.prepare()
        try:
            self._launch()
        except OSError as error:  # no memory, no process left, a full disk
            raise ConfigurationError(
                f"the {self.part.name} cannot be started: {error.strerror}", hint="make room on this machine"
            ) from None

    def _launch(self) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        setpriv = shutil.which("setpriv")
        leash = (setpriv, *_LEASH) if setpriv else ()
        with os.fdopen(descriptor, "ab") as output:
            self.process = subprocess.Popen(
                [*leash, *self.part.argv],
                env={**os.environ, **self.part.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def died(self) -> int | None:
        """The exit code, once, when the process has ended; then it is due to be started again after a pause."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        self.put_off()
        return code

    def put_off(self) -> None:
        """Let it be started again after a pause, longer than the last one unless it has run well."""
        now = time.monotonic()
        self._pause = FIRST_PAUSE if now - self._since > WELL else min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
        self.due = now + self._pause

    def stop(self) -> Change | None:
        """Ask it to end, and make it when it does not. None when it was not running."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.terminate()
        try:
            self.process.wait(self.part.stop_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # with what it has started: its session is its own
            self.process.wait()
            return Change.KILLED
        return Change.STOPPED

    def turn_over(self) -> None:
        """Keep the log small while the process goes on writing to it: what it has is copied, and it begins anew.

        The process appends, so its next line is the first. What it writes in that very moment may be lost.
        """
        with suppress(OSError):
            if self._log.stat().st_size > LARGEST_LOG:
                shutil.copyfile(self._log, self._before)
                os.truncate(self._log, 0)

    def _make_room(self) -> None:
        try:
            self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to {self._log.parent}: {error.strerror}", hint="set DBACKUP_HOME to a writable folder"
            ) from None
        self.turn_over()

    @property
    def _before(self) -> Path:
        return self._log.with_suffix(".log.1")

    @property
    def pause(self) -> float:
        """Seconds until it is started again."""
        return self._pause

    def tail(self) -> str:
        """The last line of its log, which mostly says why it died."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


class Supervisor:
    """Runs the parts until it is told to end."""

    def __init__(self, parts: Sequence[Part], logs: Path, tell: Tell) -> None:
        self._running = [_Running(part, logs / f"{part.name}.log") for part in parts]
        self._tell = tell

    def start(self, ended: Event) -> None:
        """Start every part, each when those before it that are needed are ready, and wait for all of them.

        Raises ConnectionError when one does not become ready; those that run are then stopped. Returns early once
        ``ended`` is set.
        """
        try:
            starting: list[_Running] = []
            for one in self._running:
                one.start()
                starting.append(one)
                if one.part.needed or one is self._running[-1]:
                    self._await(starting, ended)
                    starting.clear()
                if ended.is_set():
                    return
        except BaseException:
            self.stop()
            raise

    def watch(self, ended: Event, look: Callable[[], None] = lambda: None) -> None:
        """Start what dies again, and call ``look`` between, until ``ended`` is set."""
        while not ended.wait(LOOK_SECONDS):
            for one in self._running:
                self._look_after(one)
                one.turn_over()
            look()

    def stop(self) -> None:
        """End every part, the last first."""
        for one in reversed(self._running):
            if change := one.stop():
                self._tell(News(one.part.name, change))

    def _look_after(self, one: _Running) -> None:
        if (code := one.died()) is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._tell(News(one.part.name, Change.DIED, f"{how}; started again in {one.pause:.0f} s"))
        elif one.process is None and time.monotonic() >= one.due and self._can_start(one):
            self._start_again(one)

    def _can_start(self, one: _Running) -> bool:
        """Whether the parts that it needs are ready: they die together, and it would find nobody, or start another."""
        before = self._running[: self._running.index(one)]
        return all(other.process is not None and other.part.ready() for other in before if other.part.needed)

    def _start_again(self, one: _Running) -> None:
        try:
            one.start()
        except Exception as error:  # noqa: BLE001 - whatever keeps this part from starting, the others go on
            one.put_off()
            reason = error.message if isinstance(error, DBackupError) else mask(f"{type(error).__name__}: {error}")
            self._tell(News(one.part.name, Change.DIED, f"{reason}; tried again in {one.pause:.0f} s"))
        else:
            self._tell(News(one.part.name, Change.STARTED_AGAIN))

    def _await(self, starting: Sequence[_Running], ended: Event) -> None:
        for one in starting:
            self._wait_for(one, ended)
            if ended.is_set():
                return
            self._tell(News(one.part.name, Change.READY, one.part.address()))

    def _wait_for(self, one: _Running, ended: Event) -> None:
        deadline = time.monotonic() + one.part.start_seconds
        while not one.part.ready():
            if ended.wait(LOOK_SECONDS):
                return
            if one.died() is not None:
                raise ConnectionError(f"the {one.part.name} ended at once: {one.tail()}", hint=f"its log: {one._log}")
            if time.monotonic() > deadline:
                raise ConnectionError(
                    f"the {one.part.name} was not ready after {one.part.start_seconds:.0f} s",
                    hint=f"its log says why: {one._log}",
                )
