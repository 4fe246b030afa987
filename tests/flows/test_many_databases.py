"""An instance of many databases and a destination that takes few of them at once, or hardly any."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from core.jobs import JobSpec
from flows.backup import backup
from services.destinations import UPLOADS_AT_ONCE
from tests.servers.openssh import SFTP_INSIDE, Account, Server, running
from tests.servers.postgresql import Server as PostgreSQL
from tests.servers.proxy import proxied
from tests.waiting import until

NOISE = "CREATE TABLE noise AS SELECT md5(random()::text) AS some FROM generate_series(1, 10000)"  # 300 kB


def test_a_server_that_allows_few_transfers_at_once_gets_every_database(
    postgresql: PostgreSQL, ssh_account: Account
) -> None:
    names = [f"shop{number:02}" for number in range(10)]
    for name in names:
        postgresql.create(name)
    root = ssh_account.new_folder()
    with running(ssh_account, SFTP_INSIDE, "MaxSessions 5") as server, proxied(server.port) as network:
        network.latency = 0.1
        report = backup(_job(postgresql, names, _address(server, network.port, root)))
    assert [copy.complete for copy in report.copies] == [True]
    assert len(_dumps(root)) == len(names)


def test_what_waits_for_a_slow_destination_holds_up_no_other(
    postgresql: PostgreSQL, ssh_account: Account, tmp_path: Path
) -> None:
    names = [f"store{number:02}" for number in range(4 * UPLOADS_AT_ONCE)]
    for name in names:
        postgresql.create(name)
        postgresql.query(NOISE, name)
    root = ssh_account.new_folder()
    with running(ssh_account, SFTP_INSIDE) as server, proxied(server.port) as network:
        network.bandwidth = 3_000  # bytes a second: minutes for the first four
        job = _job(postgresql, names, _address(server, network.port, root), tmp_path.as_uri())
        with ThreadPoolExecutor(1) as beside:
            report = beside.submit(backup, job)
            try:
                until(lambda: len(_dumps(tmp_path)) == len(names), "the folder to have every database")
                assert len(_dumps(root)) < UPLOADS_AT_ONCE
            finally:
                network.heal()
            assert [copy.complete for copy in report.result().copies] == [True, True]
    assert len(_dumps(root)) == len(names)


def _job(postgresql: PostgreSQL, databases: list[str], *destinations: str) -> JobSpec:
    job = {"source": postgresql.url(), "databases": databases, "destinations": destinations, "retries": 0}
    return JobSpec.model_validate(job)


def _address(server: Server, port: int, root: Path) -> str:
    """With a patience that no slow network exhausts."""
    options = f"timeout=600&fingerprint={quote(server.fingerprint(), safe='')}&private_key_file={server.account.key()}"
    return f"sftp://{server.account.name}@127.0.0.1:{port}{root}?{options}"


def _dumps(root: Path) -> list[Path]:
    """The databases of complete uploads."""
    return [path for path in root.rglob("*.dump*") if ".incoming" not in path.parts]
