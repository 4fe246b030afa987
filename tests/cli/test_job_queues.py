"""Which machines a job is for: its label is given, changed and shown, and said to be served by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exits import FAILED, USAGE
from tests.cli.conftest import Dbackup

KEY = "22" * 32


@pytest.fixture
def saved(dbackup: Dbackup, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options of a job whose source and storage are saved."""
    (tmp_path / "shop.db").touch()
    dbackup.succeeds("source", "add", "queue-shop", tmp_path / "shop.db")
    dbackup.succeeds("storage", "add", "queue-near", tmp_path / "near")
    yield "--source", "queue-shop", "--to", "queue-near"
    dbackup("job", "delete", "queued-job")
    dbackup.succeeds("source", "remove", "queue-shop")
    dbackup.succeeds("storage", "remove", "queue-near")


def test_a_label_that_nobody_serves_is_saved_and_said_and_the_job_runs_nowhere_else(
    dbackup: Dbackup, saved: tuple[str, ...]
) -> None:
    made = dbackup("job", "create", "queued-job", *saved, "--queue", "tokyo")
    assert made.code == 0
    assert "nobody takes from the queue tokyo now" in made.err
    assert "dbackup up --queue tokyo" in made.err
    assert dbackup.succeeds("job", "show", "queued-job")["queue"] == "tokyo"
    assert "tokyo" in dbackup("job", "show", "queued-job").out
    for options in ((), ("--no-wait",)):
        refused = dbackup("job", "run", "queued-job", *options)
        assert refused.code == USAGE
        assert "nobody takes from the queue tokyo" in refused.err


def test_an_edit_moves_a_job_to_another_label_and_leaves_it_where_it_is_when_it_says_none(
    dbackup: Dbackup, saved: tuple[str, ...]
) -> None:
    dbackup.succeeds("job", "create", "queued-job", *saved, "--queue", "tokyo")
    dbackup.succeeds("job", "edit", "queued-job", "--retries", 5)
    assert dbackup.succeeds("job", "show", "queued-job")["queue"] == "tokyo"
    moved = dbackup("job", "edit", "queued-job", "--queue", "default")
    assert (moved.code, "nobody" in moved.err) == (0, False)
    assert dbackup.succeeds("job", "show", "queued-job")["queue"] == "default"


@pytest.mark.parametrize("label", ["Tokyo", "a b", "", "-x"])
def test_what_cannot_be_a_label_is_refused_by_jobs_and_workers_alike(
    dbackup: Dbackup, saved: tuple[str, ...], label: str
) -> None:
    for command in (("job", "create", "queued-job", *saved), ("up",)):
        refused = dbackup(*command, f"--queue={label}")
        assert refused.code == USAGE
        assert "--queue cannot be used: a queue is named with lower-case letters" in refused.err


@pytest.mark.parametrize(
    ("missing", "wrong"),
    [
        ("PREFECT_API_URL", ""),
        ("DBACKUP_ENCRYPTION_KEY", None),
        ("DBACKUP_DATABASE_URL", None),
        ("DBACKUP_DATABASE_URL", "sqlite:////srv/catalog.db"),
    ],
)
def test_a_worker_refuses_to_work_with_what_only_its_own_machine_has(
    dbackup: Dbackup, missing: str, wrong: str | None
) -> None:
    settings = {
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "DBACKUP_ENCRYPTION_KEY": KEY,
        "DBACKUP_DATABASE_URL": "postgresql+psycopg://dbackup@127.0.0.1:9/catalog",
    }
    given = {name: value for name, value in settings.items() if name != missing}
    refused = dbackup.apart("up", "--worker", **given, **({} if wrong is None else {missing: wrong}))
    assert refused.code == FAILED
    assert f"{missing} does not say which" in refused.err
    assert "the catalog has to be in PostgreSQL" in refused.err
