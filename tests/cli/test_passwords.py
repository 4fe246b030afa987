"""A password need not stand in the URL, and is never where others can see it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.output import WrongUsage
from cli.passwords import VARIABLE, Password
from core.jobs import Address
from tests.cli.conftest import COMMAND, Dbackup
from tests.servers.postgresql import USER, Server
from tests.waiting import until

ODD = "p@ss/w:rd #1%?ü"
ENCODED = "p%40ss%2Fw%3Ard%20%231%25%3F%C3%BC"
URL = Address("postgresql://ada@db.example:5432/shop?sslmode=require")
WITH_IT = f"postgresql://ada:{ENCODED}@db.example:5432/shop?sslmode=require"


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


def test_standard_input_is_put_into_the_url_percent_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ODD}\r\nnot this\n"))
    assert Password(stdin=True).into(URL) == WITH_IT


def test_the_variable_completes_a_url_and_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, ODD)
    assert Password().into(URL) == WITH_IT
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(
    "text", ["shop", "sqlite:///shop.db", "postgresql://db.example/shop", "postgresql://ada:own@db.example/shop"]
)
def test_the_variable_is_used_only_for_a_user_without_a_password(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, ODD)
    assert Password().into(Address(text)) == text


@pytest.mark.parametrize("text", ["shop", "sqlite:///shop.db", "postgresql://ada:own@db.example/shop"])
def test_a_password_without_a_place_for_it_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        Password(stdin=True).into(Address(text))


@pytest.mark.parametrize("choice", [Password(stdin=True, ask=True), Password(stdin=True), Password(ask=True)])
def test_two_ways_or_an_empty_one_or_no_terminal_are_wrong_usage(
    choice: Password, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(WrongUsage):
        choice.into(URL)


def test_it_is_asked_for_on_a_terminal_without_showing_it(home: Path, postgresql: Server) -> None:
    shown = _on_a_terminal(
        ["source", "test", f"postgresql://{USER}@127.0.0.1:{postgresql.port}", "--ask-password"], postgresql.password
    )
    assert "Password:" in shown
    assert "answers" in shown
    assert postgresql.password not in shown


def _on_a_terminal(arguments: list[str], typed: str) -> str:
    """Run the command on a terminal of its own, answer its question, and give all that was shown."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True):
        os.close(theirs)
        shown = b""
        for part in _read(ours):
            if b"Password:" in part:
                os.write(ours, f"{typed}\n".encode())
            shown += part
    os.close(ours)
    return shown.decode()


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 4096)
        except OSError:  # the other side is closed
            return


def test_no_command_line_of_a_running_backup_shows_it(home: Path, tmp_path: Path, postgresql: Server) -> None:
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders (id int)", "shop")
    url = f"postgresql://{USER}@127.0.0.1:{postgresql.port}/shop"
    with postgresql.connect("shop", autocommit=False) as blocking:
        blocking.execute("LOCK TABLE orders")
        command = [COMMAND, "backup", url, "--to", str(tmp_path / "b"), "--password-stdin"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdin is not None
            process.stdin.write(f"{postgresql.password}\n")
            process.stdin.close()
            until(lambda: _waits_for_lock(postgresql), "the dump to wait for the lock")
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
            blocking.rollback()
            assert process.wait(60) == 0
    assert any(USER.encode() in line for line in lines)
    assert not [line for line in lines if postgresql.password.encode() in line]


def _waits_for_lock(server: Server) -> bool:
    return bool(server.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_each_way_reaches_a_real_server(dbackup: Dbackup, postgresql: Server) -> None:
    url = f"postgresql://{USER}@127.0.0.1:{postgresql.port}"
    assert (
        dbackup.succeeds("source", "test", url, **{VARIABLE: postgresql.password})["server"]["engine"] == "postgresql"
    )
    dbackup.succeeds("source", "add", "by-stdin", url, "--password-stdin", typed=f"{postgresql.password}\n")
    assert dbackup.succeeds("source", "test", "by-stdin")["databases"]
    dbackup.succeeds("source", "remove", "by-stdin")
    assert dbackup("source", "test", url).code == 1
