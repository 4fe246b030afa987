"""An instance of many databases and a destination that takes few of them at once."""

from __future__ import annotations

from urllib.parse import quote

from core.jobs import JobSpec
from flows.backup import backup
from tests.servers.openssh import SFTP_INSIDE, Account, running
from tests.servers.postgresql import Server
from tests.servers.proxy import proxied


def test_a_server_that_allows_few_transfers_at_once_gets_every_database(
    postgresql: Server, ssh_account: Account
) -> None:
    names = [f"shop{number:02}" for number in range(10)]
    for name in names:
        postgresql.create(name)
    root = ssh_account.new_folder()
    with running(ssh_account, SFTP_INSIDE, "MaxSessions 5") as server, proxied(server.port) as network:
        network.latency = 0.1
        options = f"fingerprint={quote(server.fingerprint(), safe='')}&private_key_file={ssh_account.key()}"
        url = f"sftp://{ssh_account.name}@127.0.0.1:{network.port}{root}?{options}"
        job = {"source": postgresql.url(), "databases": names, "destinations": [url], "retries": 0}
        report = backup(JobSpec.model_validate(job))
    assert [copy.complete for copy in report.copies] == [True]
    assert len(list(root.rglob("*.dump*"))) == len(names)
