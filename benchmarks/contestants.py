"""Who is measured: the floor, what people use instead, and we.

Each contestant runs once a round, in the order of the list, so that all of them meet the same state of the machine.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import postgresql
from benchmarks.measure import Figures, ProgramFailed, pipeline
from tests.servers.postgresql import Server

DATABASE, RESTORED = "bench", "restored"
KEPT = "bench.dump"  # what our latest pipeline wrote, for those who read it
FLOOR = "pg_dump to /dev/null"
DUMP = ("pg_dump", "-Fc", "-Z0", DATABASE)


@dataclass(frozen=True)
class Contestant:
    """A name, a way to run it once, and the name of whom it is compared with beside the floor."""

    name: str
    run: Callable[[], Figures]
    rival: str | None = None


@dataclass(frozen=True)
class Arena:
    """A server with the database in it, and a folder for outputs and for our own state."""

    server: Server
    folder: Path
    encryption_key: str = field(default_factory=partial(secrets.token_hex, 32), repr=False)

    def path(self, name: str) -> Path:
        """A file of the arena."""
        return self.folder / name

    def tools(self, *commands: Sequence[str], output: str | None = None) -> Figures:
        """Measure programs in a pipe, the last one writing to the file ``output``."""
        return pipeline(*commands, env=self.environment(), output=self.path(output) if output else None)

    def product(self, act: str, **order: Any) -> dict[str, Any]:
        """Have a process of ours carry out an act, and give its figures. Raises ProgramFailed."""
        subprocess.run(["sync"], check=True)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.product", act],
            env=self.environment(),
            input=json.dumps({"source": self.server.url(DATABASE), "output": str(self.path(KEPT)), **order}),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProgramFailed(f"our {act} failed")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def figures(self, act: str, **order: Any) -> Figures:
        """The same, as the figures that every contestant has."""
        found = self.product(act, **order)
        return Figures(found["wall"], found["cpu"], found["peak"], found.get("output"))

    def environment(self) -> dict[str, str]:
        """What PostgreSQL's programs and ours need to know."""
        return postgresql.environment(
            self.server,
            DBACKUP_HOME=str(self.path("home")),
            DBACKUP_ENCRYPTION_KEY=self.encryption_key,
            DBACKUP_LOG_LEVEL="error",
            PREFECT_HOME=str(self.path("home") / "prefect"),
            PREFECT_LOGGING_LEVEL="ERROR",
        )


@dataclass(frozen=True)
class Prefect:
    """A Prefect server that sleeps while others are measured: even idle it takes some CPU."""

    process: subprocess.Popen[bytes]

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Within this context it answers."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)


def floor(arena: Arena) -> list[Contestant]:
    """The least that a dump can cost, in both of PostgreSQL's formats."""
    return [
        Contestant(FLOOR, partial(arena.tools, DUMP)),
        Contestant("pg_dump, plain, to /dev/null", partial(arena.tools, ("pg_dump", DATABASE))),
    ]


def peers(arena: Arena, levels: Sequence[int]) -> list[Contestant]:
    """The pipes that people write."""
    age = ("age", "-r", _age_recipient())
    sealed = [
        Contestant(_age(level), partial(arena.tools, DUMP, ("zstd", "-q", f"-{level}"), age, output="peer"))
        for level in levels
    ]
    zipped = partial(arena.tools, ("pg_dump", DATABASE), ("gzip",), output="peer")
    return [*sealed, Contestant("pg_dump | gzip", zipped)]


def pipelines(arena: Arena, levels: Sequence[int]) -> list[Contestant]:
    """Our dump alone."""
    return [Contestant(_pipeline(level), partial(_dump, arena, level), _age(level)) for level in levels]


def flows(arena: Arena, levels: Sequence[int], prefect: Prefect) -> list[Contestant]:
    """Our whole backup."""
    return [
        Contestant(f"dbackup whole backup, zstd {level}", partial(_flow, arena, level, prefect), _pipeline(level))
        for level in levels
    ]


def readers(arena: Arena) -> list[Contestant]:
    """Restoring and verifying what the latest of our pipelines has kept."""
    sha256sum = partial(arena.tools, ("sha256sum", str(arena.path(KEPT))))
    return [
        Contestant("pg_restore", partial(_pg_restore, arena)),
        Contestant("dbackup restore", partial(_restore, arena), "pg_restore"),
        Contestant("sha256sum", sha256sum),
        Contestant("dbackup verify", partial(arena.figures, "verify"), "sha256sum"),
    ]


@contextmanager
def prefect_server(arena: Arena) -> Iterator[Prefect]:
    """A Prefect server with our encryption profile in it, asleep; ended by its own process id with the context."""
    (arena.path("home") / "prefect").mkdir(parents=True)
    with arena.path("server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "blocks.server"],
            env={**arena.environment(), "DBACKUP_SERVER_IDLE": "86400"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the measurement, which then ends the server
        )
    server = Prefect(process)
    try:
        with server.awake():
            arena.product("profile", level=1)
        yield server
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def _dump(arena: Arena, level: int) -> Figures:
    arena.path(KEPT).unlink(missing_ok=True)
    return arena.figures("dump", level=level)


def _flow(arena: Arena, level: int, prefect: Prefect) -> Figures:
    with prefect.awake():
        return arena.figures("flow", level=level, destination=arena.path("backups").as_uri())


def _pg_restore(arena: Arena) -> Figures:
    if not arena.path("archive").exists():
        arena.tools(DUMP, output="archive")
    postgresql.drop(arena.server, RESTORED)
    arena.server.create(RESTORED)
    return arena.tools(("pg_restore", "-d", RESTORED, str(arena.path("archive"))))


def _restore(arena: Arena) -> Figures:
    postgresql.drop(arena.server, RESTORED)
    return arena.figures("restore", target=RESTORED)


def _age(level: int) -> str:
    return f"pg_dump | zstd -{level} | age"


def _pipeline(level: int) -> str:
    return f"dbackup pipeline, zstd {level}"


def _age_recipient() -> str:
    """The public half of a new key; the private half is thrown away, for nobody is going to decrypt."""
    try:
        made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise ProgramFailed("age is not installed; on Debian: apt-get install age zstd") from None
    return next(line.split()[-1] for line in made.splitlines() if "public key" in line)
