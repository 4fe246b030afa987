"""However a command ends: the right exit code, one sentence, no traceback, no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli.exits import CANCELLED, FAILED, INTERRUPTED, PARTIAL, TERMINATED, USAGE, exit_code
from cli.output import Output, WrongUsage
from core import masking
from core.errors import ConnectionError, RunFailed
from core.reports import BackupReport, Failure, StoredCopy
from core.states import RunState
from tests.cli.conftest import Dbackup

SECRET = "kein-wort-davon"


def report(state: RunState) -> BackupReport:
    failure = Failure(subject="nas", reason="the disk is full", hint="free some space")
    return BackupReport(
        state=state,
        backup_id="20260102T030405Z-abcdef",
        job="shop",
        folder="shop/20260102T030405Z-abcdef",
        started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        finished_at=datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC),
        files=(),
        copies=(StoredCopy(storage="nas", complete=False, failure=failure),),
        failures=(failure,),
    )


def ending(error: BaseException, *, as_json: bool = False) -> int:
    def call() -> None:
        raise error

    return exit_code(Output(as_json=as_json), call)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionError("nobody answers", hint="look"), FAILED),
        (WrongUsage("not so"), USAGE),
        (RunFailed("some of it", report=report(RunState.PARTIAL)), PARTIAL),
        (RunFailed("none of it", report=report(RunState.FAILED)), FAILED),
        (RunFailed("none of it"), FAILED),
        (RuntimeError("never foreseen"), FAILED),
        (KeyboardInterrupt(), INTERRUPTED),
        (SystemExit(TERMINATED), TERMINATED),
        (SystemExit(0), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_way_to_end_has_its_exit_code(error: BaseException, code: int) -> None:
    assert ending(error) == code


def test_an_error_is_one_sentence_and_one_piece_of_advice(capsys: pytest.CaptureFixture[str]) -> None:
    ending(ConnectionError("nobody answers", hint="start the server"))
    assert capsys.readouterr() == ("", "✗ nobody answers\n  → start the server\n")


def test_a_failed_run_says_each_failure_with_its_advice(capsys: pytest.CaptureFixture[str]) -> None:
    ending(RunFailed("some of it", report=report(RunState.PARTIAL)))
    assert capsys.readouterr() == ("", "! nas: the disk is full\n  → free some space\n")


def test_json_holds_the_report_and_the_error_of_a_failed_run(capsys: pytest.CaptureFixture[str]) -> None:
    ending(RunFailed("some of it", hint="do it again", report=report(RunState.PARTIAL)), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == {"message": "some of it", "hint": "do it again"}
    assert (said["state"], said["backup_id"]) == ("PARTIAL", "20260102T030405Z-abcdef")


@pytest.fixture
def _known_secret() -> Iterator[None]:
    masking.remember(SECRET)
    yield
    masking._known.discard(SECRET)


@pytest.mark.usefixtures("_known_secret")
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_told_whatever_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, debug: bool, as_json: bool
) -> None:
    monkeypatch.setenv("DBACKUP_LOG_LEVEL", "debug" if debug else "info")
    ending(RuntimeError(f"it was {SECRET}\nand postgresql://ada:{SECRET}@host"), as_json=as_json)
    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert ("Traceback" in said) is debug


def test_an_interrupted_command_says_that_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    ending(KeyboardInterrupt())
    assert CANCELLED in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["lits"],
        ["backup"],
        ["backup", "./shop.db"],
        ["backup", "./shop.db", "--to", "./b", "--compression", "zstd:99"],
        ["backup", "./shop.db", "--to", "./b", "--to", "./b"],
        ["backup", "./shop.db", "--to", "./b", "--retries", "-1"],
        ["backup", "./shop.db", "--to", "./b", "--retries", "x"],
        ["backup", "My Shop", "--to", "./b"],
        ["list", "--nope"],
        ["verify"],
        ["verify", "latest"],
        ["verify", "latest", "--all"],
        ["delete", "latest"],
    ],
    ids=" ".join,
)
def test_wrong_usage_has_exit_code_2_and_advice(dbackup: Dbackup, arguments: list[str]) -> None:
    answer = dbackup(*arguments, "--json")
    assert answer.code == USAGE
    assert answer.err.startswith("✗ ")
    assert answer.json.keys() == {"error"}
    assert answer.json["error"]["hint"] in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["source", "test", "/nowhere/shop.db"],
        ["source", "test", "postgresql://ada:geheimnis@127.0.0.1:1/shop"],
        ["list", "--at", "/nowhere/backups"],
        ["show", "20260102T030405Z-abcdef"],
        ["restore", "latest", "--at", "/nowhere/backups", "--into", "./new.db"],
        ["backup", "/nowhere/shop.db", "--to", "/tmp"],
        ["storage", "test", "/proc/nowhere"],
    ],
    ids=" ".join,
)
def test_what_fails_has_exit_code_1_and_one_object(dbackup: Dbackup, arguments: list[str]) -> None:
    answer = dbackup(*arguments, "--json")
    assert answer.code == FAILED
    assert f"✗ {answer.json['error']['message']}\n" in answer.err
    assert "geheimnis" not in answer.out + answer.err


@pytest.mark.parametrize("arguments", [["verify"], ["source", "test", "/nowhere/shop.db"]], ids=" ".join)
def test_without_json_an_error_leaves_standard_output_empty(dbackup: Dbackup, arguments: list[str]) -> None:
    answer = dbackup(*arguments)
    assert (answer.code > 0, answer.out) == (True, "")
    assert answer.err.startswith("✗ ")


def test_a_wrong_setting_is_told_like_everything_else(dbackup: Dbackup) -> None:
    answer = dbackup.apart("list", DBACKUP_SERVER_IDLE="soon")
    assert answer.code == FAILED
    assert "DBACKUP_SERVER_IDLE" in answer.err
