"""The janitor as a run: every saved storage is cleaned, and databases of killed restores are told of and left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from core import naming
from core.errors import RunFailed
from core.jobs import CleaningSpec
from core.reports import CleaningReport
from core.states import RunState
from flows.janitor import clean
from services.records import executions
from tests.servers.postgresql import Server

LEFT = "shop__dbackup_0123abcd"
SECRET = "Pa55-of-a-source"


@pytest.fixture
def names(postgresql: Server, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A saved storage and a saved source."""
    storage, source = f"dust-{os.getpid()}", f"srv-{os.getpid()}"
    (tmp_path / "dusty").mkdir()
    saved.add_storage(LOCAL_ADMINISTRATOR, storage, f"file://{tmp_path}/dusty")
    saved.add_source(LOCAL_ADMINISTRATOR, source, postgresql.url())
    yield storage, source
    saved.remove_storage(LOCAL_ADMINISTRATOR, storage)
    saved.remove_source(LOCAL_ADMINISTRATOR, source)


def abandoned(root: Path) -> Path:
    """An object of a backup that was begun two days ago, and never finished."""
    moment = datetime.now(UTC) - timedelta(days=2)
    path = root / "shop-01234567" / naming.new_backup_id(moment) / "shop.dump"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    os.utime(path, (moment.timestamp(), moment.timestamp()))
    return path


def test_leftovers_are_removed_and_unfinished_databases_are_only_told_of(
    names: tuple[str, str], postgresql: Server, tmp_path: Path
) -> None:
    storage, source = names
    left = abandoned(tmp_path / "dusty")
    postgresql.create(LEFT)
    postgresql.create("shop__dbackup_notes")
    wish = CleaningSpec(storages=(storage,), sources=(source,))
    seen = clean(wish.model_copy(update={"dry_run": True}))
    assert (seen.storages[0].removed, left.exists()) == (False, True)
    report = clean(wish)
    assert report.state is RunState.SUCCESS
    assert (report.storages[0].found, report.storages[0].removed) == (seen.storages[0].found, True)
    assert not left.exists()
    assert report.sources[0].found == (LEFT,)
    assert LEFT in postgresql.names()
    recorded = executions().recent(1)[0]
    assert CleaningReport.model_validate_json(recorded.report or "") == report


def test_a_source_that_cannot_be_asked_keeps_no_storage_from_being_cleaned(
    names: tuple[str, str], tmp_path: Path
) -> None:
    left = abandoned(tmp_path / "dusty")
    with pytest.raises(RunFailed, match="nobody") as caught:
        clean(CleaningSpec(storages=(names[0],), sources=("nobody",)))
    assert isinstance(caught.value.report, CleaningReport)
    assert not left.exists()


def test_a_url_is_refused_before_anything_is_stored_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as refused:
        CleaningSpec(sources=(f"postgresql://backup:{SECRET}@db.example/shop",))
    assert SECRET not in str(refused.value)
