"""What Prefect's page of a run shows beside its steps: how far it is, what is proven where, where the manifest lies.

All of it is written by a thread of its own, at most once a second, so that a Prefect API that is slow, or away, holds
up no byte and changes no outcome. It is stored in clear: only names that stand in the report, masked, and no address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID

from prefect import artifacts
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from core.log import logger
from core.masking import mask
from core.naming import manifest_key
from core.reports import BackupReport, StoredCopy
from core.words import size
from services.backups import Plan
from services.progress import watched_by
from tasks.speed import Speed

PAUSE = 1.0  # seconds between two updates
PATIENCE = 5.0  # seconds that a run waits at its end for what is still to be written
DUMPED = 90.0  # percent: the dump and the uploads beside it; the rest is the proof
NONE = "-"
log = logger(service="prefect")

# Prefect gives each of these a parameter ``_sync``, of which their types say nothing.
create_progress: Callable[..., Any] = artifacts.create_progress_artifact
table: Callable[..., Any] = artifacts.create_table_artifact
markdown: Callable[..., Any] = artifacts.create_markdown_artifact


class Gauge:
    """A watcher that makes one percentage of a backup's steps. Called from several threads."""

    def __init__(self, expected: int) -> None:
        self._expected = expected  # bytes of all dumps, roughly; 0 where nobody can say
        self._done = {"dump": 0, "verify": 0}
        self._to_verify = 0
        self._percent = 0.0
        self._lock = threading.Lock()

    def started(self, step: str, total: int | None) -> None:
        """A step begins."""
        if step.startswith("verify "):
            with self._lock:
                self._to_verify += total or 0

    def advanced(self, step: str, size: int) -> None:
        """A step has moved on."""
        kind = step.partition(" ")[0]
        if kind in self._done:
            with self._lock:
                self._done[kind] += size

    def ended(self, step: str, *, good: bool) -> None:
        """A step is over; what it has done is known already."""

    def read(self) -> tuple[float, str]:
        """The percentage, which never falls and is 100 only at the very end, and what it stands for."""
        with self._lock:
            dumped, verified = self._done["dump"], self._done["verify"]
            if self._to_verify:
                now = DUMPED + (99.0 - DUMPED) * min(verified / self._to_verify, 1.0)
                text = f"{size(verified)} of {size(self._to_verify)} read back"
            else:
                now = DUMPED * min(dumped / self._expected, 1.0) if self._expected else 0.0
                text = f"{size(dumped)} dumped" + (f", of about {size(self._expected)}" if self._expected else "")
            self._percent = max(self._percent, now)
            return self._percent, text

    def figures(self) -> tuple[str, int, int]:
        """What is being done now, how many bytes of it are done, and of how many; 0 where nobody can say."""
        with self._lock:
            if self._to_verify:
                return "verify", self._done["verify"], self._to_verify
            return "dump", self._done["dump"], self._expected


class Board:
    """The page of one backup."""

    def __init__(self, plan: Plan) -> None:
        self.gauge = Gauge(sum(one.size or 0 for one in plan.databases))
        self._plan = plan
        self._report: BackupReport | None = None
        self._over = threading.Event()

    def show(self, report: BackupReport) -> None:
        """Show how the run ended, when its context ends."""
        self._report = report

    def end(self) -> None:
        """Nothing more will happen."""
        self._over.set()

    def write(self) -> None:
        """Write until the end. Raises nothing."""
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - a picture of the run that fails must not make the run fail
            log.warning("Prefect's page lacks something of this run", reason=mask(f"{type(error).__name__}: {error}"))

    def _write(self) -> None:
        shown = self.gauge.read()
        key = f"backup-{self._plan.slug}"
        bar = create_progress(shown[0], key=f"{key}-progress", description=shown[1], _sync=True)
        speed = Speed()
        while not self._over.wait(PAUSE):
            figures = speed.figures(*self.gauge.figures())
            if (now := self.gauge.read()) != shown:
                shown = now
                update_progress(bar, *shown, figures)
        if report := self._report:
            percent = 100.0 if any(copy.complete for copy in report.copies) else self.gauge.read()[0]
            update_progress(bar, percent, mask(report.summary), {})
            table(rows(report), key=f"{key}-destinations", description="What is proven where", _sync=True)
            markdown(place(report), key=f"{key}-manifest", description="Where the manifest lies", _sync=True)


def update_progress(bar: UUID, percent: float, text: str, figures: dict[str, str]) -> None:
    """Show how far the run is: to people in words, and in figures to our own pages."""
    with get_client(sync_client=True) as client:
        client.update_artifact(bar, ArtifactUpdate(data=percent, description=text, metadata_=figures))


@contextmanager
def board(plan: Plan) -> Iterator[Board]:
    """Within this context a backup is shown on its page in Prefect. It is waited for at the end, a few seconds."""
    made = Board(plan)
    writer = threading.Thread(target=copy_context().run, args=(made.write,), name="artifacts", daemon=True)
    writer.start()
    try:
        with watched_by(made.gauge):
            yield made
    finally:
        made.end()
        writer.join(PATIENCE)


def rows(report: BackupReport) -> list[dict[str, str]]:
    """A line for each destination."""
    return [_row(report, copy) for copy in report.copies]


def _row(report: BackupReport, copy: StoredCopy) -> dict[str, str]:
    return {
        "Destination": mask(copy.storage),
        "Copy": "✓ complete" if copy.complete else "✗ not complete",
        "Proven": copy.checked or NONE,
        "Stored": size(report.size) if copy.complete else NONE,
        "Why": mask(copy.failure.reason) if copy.failure else "",
    }


def place(report: BackupReport) -> str:
    """Where the manifest lies, and what to do with it, in Markdown."""
    complete = [copy.storage for copy in report.copies if copy.complete]
    if not complete:
        return f"`{report.backup_id}` is complete nowhere, so there is no manifest."
    places = "\n".join(f"- **{_plain(name)}**: `{manifest_key(report.folder)}`" for name in complete)
    return f"{places}\n\n```\ndbackup show {report.backup_id} --at {_argument(complete[0])}\n```\n"


def _plain(text: str) -> str:
    """A name, whatever Markdown would make of it."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]()<>#|!" else character for character in mask(text))


def _argument(name: str) -> str:
    return name if " " not in name else "DEST"
