"""The installed command, run as a user runs it, against the session's own home."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blocks.encryption_key import encryption_keys
from cli.main import main

COMMAND = Path(sys.executable).with_name("dbackup")


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output. Fails when there is anything else."""
        value: dict[str, Any] = json.loads(self.out)
        return value


class Dbackup:
    """The ``dbackup`` command: in this process, for starting one costs seconds, or as a process of its own."""

    def __call__(self, *arguments: object, typed: str = "", **variables: str) -> Answer:
        """Run it here, with a standard input and more environment variables."""
        out, err, at_end = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr("sys.argv", ["dbackup", *map(str, arguments)])
            patch.setattr("sys.stdin", io.StringIO(typed))
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        signal.signal(signal.SIGTERM, at_end)
        assert "Traceback" not in out.getvalue() + err.getvalue()
        return Answer(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def apart(self, *arguments: object, typed: str = "", **variables: str) -> Answer:
        """Run what is installed, as a user does."""
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            input=typed,
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
            timeout=200,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def succeeds(self, *arguments: object, **options: Any) -> dict[str, Any]:
        """Run it here with ``--json`` and give its answer."""
        answer = self(*arguments, "--json", **options)
        assert answer.code == 0, answer
        return answer.json


@pytest.fixture(scope="session")
def dbackup(home: Path) -> Dbackup:
    """The command, in a home that has its key already, which is announced only once."""
    encryption_keys()
    return Dbackup()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small SQLite database."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO orders (note) VALUES (?)", [(f"order {number}",) for number in range(2000)])
        connection.commit()
    return path
