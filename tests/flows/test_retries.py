"""What is away for a moment is tried again, and what can never work is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from core.errors import DBackupError, RunFailed
from core.jobs import JobSpec
from core.states import RunState
from flows.backup import backup
from tests.flows.shop import job
from tests.servers.openssh import Account
from tests.servers.openssh import Server as SshServer
from tests.servers.postgresql import USER, Server
from tests.servers.proxy import Proxy, proxied


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.05)


@pytest.fixture
def network(postgresql: Server) -> Iterator[Proxy]:
    postgresql.create("shop")
    with proxied(postgresql.port) as proxy:
        yield proxy


def nightly(server: Server, network: Proxy, storage: Path, password: str = "", **options: object) -> JobSpec:
    source = f"postgresql://{USER}:{password or server.password}@127.0.0.1:{network.port}/shop"
    return job(source, storage, exact_rows=0, **options)


def test_a_source_that_is_away_for_a_moment_is_tried_again(postgresql: Server, network: Proxy, tmp_path: Path) -> None:
    network.cut(sent=1, times=2)
    report = backup(nightly(postgresql, network, tmp_path / "b", retries=2))
    assert report.state is RunState.SUCCESS


def test_as_often_as_the_job_says_and_no_more(postgresql: Server, network: Proxy, tmp_path: Path) -> None:
    network.cut(sent=1, times=1000)
    tries = dict[int, int]()
    for retries in (0, 2):
        before = network.connections
        with pytest.raises(DBackupError) as failure:
            backup(nightly(postgresql, network, tmp_path / "b", retries=retries))
        assert not failure.value.permanent
        tries[retries] = network.connections - before
    assert tries[2] == 3 * tries[0] > 0


def test_a_wrong_password_is_not_tried_again(postgresql: Server, network: Proxy, tmp_path: Path) -> None:
    tries = dict[int, int]()
    for retries in (0, 5):
        before = network.connections
        with pytest.raises(DBackupError, match="password") as failure:
            backup(nightly(postgresql, network, tmp_path / "b", password="wr0ng-Pa55word", retries=retries))
        assert "wr0ng" not in f"{failure.value.message} {failure.value.hint}"
        tries[retries] = network.connections - before
    assert tries[5] == tries[0] > 0


def test_a_destination_that_is_away_for_a_moment_is_tried_again(
    openssh: SshServer, ssh_account: Account, shop: Path, tmp_path: Path
) -> None:
    folder = ssh_account.new_folder()
    with proxied(openssh.port) as network:
        login = f"{ssh_account.name}:{ssh_account.password}@127.0.0.1:{network.port}"
        url = f"sftp://{login}{folder}?fingerprint={quote(openssh.fingerprint(), safe='')}"
        network.cut(sent=1, times=2)
        report = backup(job(shop, tmp_path / "b", url, retries=2))
        assert report.state is RunState.SUCCESS
        network.cut(sent=1, times=2)
        with pytest.raises(RunFailed) as failure:
            backup(job(shop, tmp_path / "b", url, retries=1))
    assert failure.value.report.state is RunState.PARTIAL
    assert [copy.complete for copy in failure.value.report.copies] == [True, False]
