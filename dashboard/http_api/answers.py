"""What the API answers. Moments are ISO 8601 with a zone, sizes are bytes, spans are seconds."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from core.states import RunState


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Problem(_Answer):
    """What is wrong, and what to do about it."""

    message: str
    hint: str


class Health(_Answer):
    """``ok`` or ``degraded``; why stands in the log."""

    status: str


class LastRun(_Answer):
    """How the newest run of a job went."""

    state: RunState
    started_at: datetime | None
    finished_at: datetime | None
    summary: str


class Job(_Answer):
    """One job. ``cron`` and ``next_run`` are empty for one that never runs by itself."""

    name: str
    source: str
    destinations: tuple[str, ...]
    cron: str = ""
    timezone: str = ""
    paused: bool = False
    next_run: datetime | None = None
    last_run: LastRun | None = None


class Jobs(_Answer):
    """Every job that one may see, by name; also the names of those that cannot be read."""

    jobs: tuple[Job, ...]
    unreadable: tuple[str, ...]


class Queued(_Answer):
    """A run that was put at the end of the queue, and where its status is."""

    run_id: str
    status: str


class Run(_Answer):
    """One run. ``stage`` says what an unfinished one does; ``position`` is its place among those that wait.

    ``source`` is the saved source that it is about, ``target`` the one that a restore writes into; both are empty where
    that is unknown or saved under no name.
    """

    run_id: str
    kind: str
    job: str
    state: RunState
    is_final: bool
    source: str = ""
    target: str = ""
    stage: str = ""
    trigger: str = ""
    position: int | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    summary: str = ""
    error: str = ""


class Runs(_Answer):
    """Runs that have ended, newest first, and how many there are on all pages."""

    runs: tuple[Run, ...]
    total: int


class Backup(_Answer):
    """One backup. ``missing`` are databases that it was to hold and does not."""

    backup_id: str
    job: str
    source: str
    engine: str
    started_at: datetime | None
    size: int
    dump_size: int
    profile: str | None
    storages: tuple[str, ...]
    locked: bool
    missing: tuple[str, ...]


class Backups(_Answer):
    """Backups, newest first; ``more`` when there are others beyond the limit."""

    backups: tuple[Backup, ...]
    more: bool
