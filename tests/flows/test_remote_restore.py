"""A restore from a destination that is not on this machine: what is downloaded, tried again, and removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import ConnectionError, RunFailed
from core.jobs import RestoreSpec
from core.settings import settings
from core.states import RunState
from core.streams import Chunk
from flows.backup import backup
from flows.restore import DOWNLOAD_RETRIES, restore
from tests.fakes.storage import MemoryStorage
from tests.flows.shop import files_below, job
from tests.flows.test_backup import fill
from tests.servers.postgresql import Server


@dataclass
class Remote(MemoryStorage):
    """A storage whose connection breaks in the middle of the next ``cuts`` dumps that are read.

    ``lying`` is which dumps lay in the folder of the runs each time that the download of one had begun.
    """

    cuts: int = 0
    lying: list[list[str]] = field(default_factory=list)

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[Chunk]:
        if not key.endswith(".zst"):
            yield from super().get(key, offset=offset, length=length)
            return
        self.lying.append([Path(name).name for name in files_below(settings().runs) if name.endswith(".zst")])
        body = b"".join(bytes(chunk) for chunk in super().get(key))
        yield body[: len(body) // 2]
        if self.cuts:
            self.cuts -= 1
            raise ConnectionError("the memory hung up")
        yield body[len(body) // 2 :]


@pytest.fixture
def remote(postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A backup of the databases ``one`` and ``two``, on a remote storage."""
    for name in ("one", "two"):
        fill(postgresql, name, 100)
    backup(job(postgresql.url(), tmp_path / "backups", databases=["one", "two"]))
    for name in ("one", "two"):
        postgresql.query(f"DROP DATABASE {name}")
    remote = Remote()
    for path in filter(Path.is_file, (tmp_path / "backups").glob("[!.]*/*/*")):
        remote.put(str(path.relative_to(tmp_path / "backups")), [path.read_bytes()])
    monkeypatch.setattr("tasks.restore.open_storage", lambda _: remote)
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.1)
    return remote


def wish(server: Server, tmp_path: Path) -> RestoreSpec:
    return RestoreSpec.model_validate({"backup": "latest", "storage": f"file://{tmp_path}", "target": server.url()})


def test_a_download_that_was_cut_is_tried_again_from_its_start(
    postgresql: Server, remote: Remote, tmp_path: Path
) -> None:
    remote.cuts = 1
    assert restore(wish(postgresql, tmp_path)).state is RunState.SUCCESS
    assert len(remote.lying) == 3
    for name in ("one", "two"):
        assert postgresql.query("SELECT count(*) FROM orders", name) == [(100,)]


def test_each_download_is_removed_before_the_next_begins(postgresql: Server, remote: Remote, tmp_path: Path) -> None:
    restore(wish(postgresql, tmp_path))
    assert remote.lying == [["one.dump.zst"], ["two.dump.zst"]]


def test_a_download_that_always_breaks_fails_its_database_alone(
    postgresql: Server, remote: Remote, tmp_path: Path
) -> None:
    remote.cuts = DOWNLOAD_RETRIES + 1
    with pytest.raises(RunFailed, match="the memory hung up") as failure:
        restore(wish(postgresql, tmp_path))
    assert failure.value.report.state is RunState.PARTIAL
    assert [one.database for one in failure.value.report.restored] == ["two"]
    assert remote.lying == [["one.dump.zst"]] * (DOWNLOAD_RETRIES + 1) + [["two.dump.zst"]]
