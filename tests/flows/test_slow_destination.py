"""The slowest destination holds nobody up: least of all the database, whose dump is long over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from tests.servers.openssh import Account
from tests.servers.openssh import Server as SshServer
from tests.servers.postgresql import Server
from tests.servers.proxy import proxied
from tests.waiting import until

COMMAND = Path(sys.executable).with_name("dbackup")
TRICKLE = 64 * 1024  # bytes a second, for some megabytes


def test_while_a_slow_destination_takes_its_time_the_database_has_no_session_of_ours(
    home: Path, postgresql: Server, openssh: SshServer, ssh_account: Account
) -> None:
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders AS SELECT md5(n::text) AS note FROM generate_series(1, 200000) n", "shop")
    root = ssh_account.new_folder()
    with proxied(openssh.port) as network:
        network.bandwidth = TRICKLE
        options = f"fingerprint={quote(openssh.fingerprint(), safe='')}&private_key_file={ssh_account.key()}"
        url = f"sftp://{ssh_account.name}@127.0.0.1:{network.port}{root}?{options}"
        command = [COMMAND, "backup", postgresql.url("shop"), "--to", url, "--json"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                until(lambda: list(root.glob(".incoming/*")) or process.poll() is not None, "the upload", seconds=200)
                until(lambda: postgresql.sessions() == 0, "the end of the dump")
                assert process.poll() is None, "it is still uploading"
                network.bandwidth = None
                told, _ = process.communicate(timeout=200)
            finally:
                process.kill()
    assert json.loads(told)["state"] == "SUCCESS"
