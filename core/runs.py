"""What is said of a run that waits, is at work or has ended. Times are moments with a zone, spans are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.states import RunState

RESTORE = "restore"  # the kind of run that has a target


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``share`` from 0 to 1, and what that stands for in words.

    Bytes, bytes a second and seconds; None where nobody can say.
    """

    share: float
    text: str
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Run:
    """One run. ``job`` is whose it is: the job's name, or what was backed up, restored or checked.

    ``source`` is the saved source that it is about, ``target`` the one that a restore writes into; both are empty where
    that is unknown or saved under no name. ``trigger`` is schedule, manual or python; ``stage`` what an unfinished run
    does, in words; ``position`` its place among those that wait, from 1 on; ``seconds`` what it has taken so far, or in
    all; ``host`` the machine that carries it out, if that is known, and ``queue`` the label that an unfinished run
    waits or has waited under.
    """

    run_id: str
    kind: str
    job: str
    state: RunState
    stage: str = ""
    trigger: str = ""
    source: str = ""
    target: str = ""
    host: str = ""
    queue: str = ""
    position: int | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    summary: str = ""
    error: str = ""
    progress: Progress | None = None

    def concerns(self, source: str) -> bool:
        """Whether it reads or writes this source."""
        return source in (self.source, self.target)

    def is_within(self, sources: frozenset[str] | None) -> bool:
        """Whether it is for the eyes of somebody who is limited to these sources; None is no limit.

        A restore shows two of them: whose backup it is, and what it writes into. What nobody knows is for nobody.
        """
        if sources is None:
            return True
        touched = [self.source, self.target] if self.kind == RESTORE else [self.source]
        return all(one and one in sources for one in touched)


@dataclass(frozen=True)
class RunPage:
    """A page of runs, newest first, and how many there are in all."""

    runs: tuple[Run, ...]
    total: int


@dataclass(frozen=True)
class Step:
    """One step of a run. A step that waits for its next try is PENDING."""

    name: str
    state: RunState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class RunDetails:
    """A run with its steps in the order in which they began, its report as JSON, and its page in Prefect."""

    run: Run
    steps: tuple[Step, ...] = ()
    report: str | None = None
    page: str = ""


@dataclass(frozen=True)
class LogLine:
    """A line of a run's log. ``line_id`` tells it from others of the same moment; ``step`` is whose it is, or empty."""

    line_id: str
    at: datetime
    level: str
    text: str
    step: str = ""
