"""Help answers at once, for every command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.main import GROUPS, app
from tests.cli.conftest import COMMAND, Dbackup

HEAVY = ("prefect", "sqlalchemy", "cryptography", "psycopg", "pydantic", "alembic", "httpx")
COMMANDS = {
    *((one.name or one.callback.__name__,) for part in app.registered_groups if not part.name
      for one in part.typer_instance.registered_commands),
    *((name, one.name or one.callback.__name__) for name, group in GROUPS.items() for one in group.registered_commands),
}  # fmt: skip


def test_help_imports_nothing_that_is_slow() -> None:
    script = (
        "import sys; sys.argv = ['dbackup', '--help']\n"
        "from cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: sys.exit(','.join(sorted(set(sys.modules) & {set(HEAVY)!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"help imports {done.stderr}"
    assert "Usage: dbackup" in done.stdout


def test_the_fixed_commands_are_there() -> None:
    single = {"backup", "list", "show", "verify", "restore", "delete", "lock", "unlock", "doctor"}
    saved = {(group, one) for group in ("source", "storage") for one in ("add", "list", "test", "remove")}
    keys = {("key", one) for one in ("create", "list", "rotate", "recovery-kit", "import")}
    named = {tuple(part.replace("_", "-") for part in one) for one in COMMANDS}
    assert {(one,) for one in single} | saved | keys | {("catalog", "rebuild")} <= named


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_explains_itself(dbackup: Dbackup, command: tuple[str, ...]) -> None:
    answer = dbackup(*command, "--help")
    assert answer.code == 0
    assert "--json" in answer.out


def test_the_version_is_that_of_the_distribution() -> None:
    done = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "dbackup 0.1.0\n"
