"""Who is measured: the floor, what people use instead, and we.

Each contestant runs once a round, in the order of the list, so that all of them meet the same state of the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import postgresql
from benchmarks.measure import Figures, ProgramFailed, pipeline
from blocks.api import running as server_of
from core.settings import Settings
from tests.servers.postgresql import Server

DATABASE, RESTORED = "bench", "restored"
FLOOR = "pg_dump to /dev/null"
PIPELINE = "dbackup pipeline, zstd {level}"
DUMP = ("pg_dump", "-Fc", "-Z0", DATABASE)


@dataclass(frozen=True)
class Contestant:
    """A name, a way to run it once, and the name of whom it is compared with besides the floor."""

    name: str
    run: Callable[[], Figures]
    beside: str | None = None


@dataclass(frozen=True)
class Arena:
    """A server with the database in it, and the folder for outputs."""

    server: Server
    folder: Path

    def tools(self, *commands: tuple[str, ...], output: str | None = None) -> Figures:
        """Measure programs in a pipe, the last one writing to the file ``output``."""
        path = self.folder / output if output else None
        try:
            return pipeline(*commands, env=postgresql.environment(self.server), output=path)
        finally:
            if path:
                path.unlink(missing_ok=True)

    def product(self, act: str, **order: Any) -> dict[str, Any]:
        """Have a process of ours carry out an act, and give its figures."""
        order = {"source": self.server.url(DATABASE), "output": str(self.folder / "bench.dump"), **order}
        subprocess.run(["sync"], check=True)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.product", act],
            env=postgresql.environment(self.server, DBACKUP_HOME=str(self.home), DBACKUP_LOG_LEVEL="error"),
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProgramFailed(f"our {act} failed")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    @property
    def home(self) -> Path:
        """Where our own state lies."""
        return self.folder / "home"


def floor(arena: Arena) -> list[Contestant]:
    """The least a dump can cost, in both of PostgreSQL's formats."""
    return [
        Contestant(FLOOR, lambda: arena.tools(DUMP)),
        Contestant("pg_dump, plain, to /dev/null", lambda: arena.tools(("pg_dump", DATABASE))),
    ]


def peers(arena: Arena, levels: list[int]) -> list[Contestant]:
    """The pipes that people write."""
    recipient = _age_recipient()
    return [
        *(
            Contestant(_age(level), lambda level=level: arena.tools(DUMP, *_sealed(level, recipient), output="peer"))  # type: ignore[misc]
            for level in levels
        ),
        Contestant("pg_dump \\| gzip", lambda: arena.tools(("pg_dump", DATABASE), ("gzip",), output="peer")),
    ]


def product(arena: Arena, levels: list[int]) -> list[Contestant]:
    """Our pipeline alone, and our whole flow."""

    def dump(level: int) -> Figures:
        (arena.folder / "bench.dump").unlink(missing_ok=True)
        return _figures(arena.product("dump", level=level))

    def flow(level: int) -> Figures:
        return _figures(arena.product("flow", level=level, destination=(arena.folder / "backups").as_uri()))

    pipelines = [
        Contestant(PIPELINE.format(level=level), lambda level=level: dump(level), _age(level))  # type: ignore[misc]
        for level in levels
    ]
    flows = [
        Contestant(
            f"dbackup backup flow, zstd {level}",
            lambda level=level: flow(level),  # type: ignore[misc]
            PIPELINE.format(level=level),
        )
        for level in levels
    ]
    return [*pipelines, *flows]


def readers(arena: Arena) -> list[Contestant]:
    """Restoring and verifying what the last of our dumps has kept."""
    archive = arena.folder / "archive"

    def pg_restore() -> Figures:
        postgresql.drop(arena.server, RESTORED)
        pipeline(DUMP, env=postgresql.environment(arena.server), output=archive)
        arena.server.create(RESTORED)
        return arena.tools(("pg_restore", "-d", RESTORED, str(archive)))

    def restore() -> Figures:
        postgresql.drop(arena.server, RESTORED)
        return _figures(arena.product("restore", target=RESTORED))

    kept = str(arena.folder / "bench.dump")
    return [
        Contestant("pg_restore of a plain archive", pg_restore),
        Contestant("dbackup restore", restore, "pg_restore of a plain archive"),
        Contestant("sha256sum", lambda: arena.tools(("sha256sum", kept))),
        Contestant("dbackup verify", lambda: _figures(arena.product("verify")), "sha256sum"),
    ]


@contextmanager
def prefect(arena: Arena) -> Iterator[None]:
    """A Prefect server of our home that answers, with the profile in it; ended by its own process id."""
    environment = postgresql.environment(
        arena.server, DBACKUP_HOME=str(arena.home), PREFECT_HOME=str(arena.home / "prefect"), DBACKUP_SERVER_IDLE="86400"
    )
    (arena.home / "prefect").mkdir(parents=True)
    with (arena.home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "blocks.server"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        arena.product("profile")
        yield
    finally:
        process.terminate()
        process.wait()


def _figures(found: dict[str, Any]) -> Figures:
    return Figures(found["wall"], found["cpu"], found["peak"], found.get("output"))


def _age(level: int) -> str:
    return f"pg_dump \\| zstd -{level} \\| age"


def _sealed(level: int, recipient: str) -> list[tuple[str, ...]]:
    return [("zstd", "-q", f"-{level}"), ("age", "-r", recipient)]


def _age_recipient() -> str:
    """The public half of a new key; the private half is thrown away, for nobody is going to decrypt."""
    try:
        made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise ProgramFailed("age is not installed; on Debian: apt-get install age zstd") from None
    return next(line.split()[-1] for line in made.splitlines() if "public key" in line)
