"""An upload to SFTP that was cut goes on where it broke off, behind what is proven to be there; never on a guess."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from adapters.storage.sftp import SFTP
from adapters.storage.sftp import adapter as module
from core.errors import ConnectionError, ObjectExists, RunFailed, SpoolAborted
from core.jobs import JobSpec
from core.ports import ResumesUploads
from flows.backup import backup
from services.spool import Spool
from tests.adapters.storage_contract import content, keys
from tests.servers.openssh import SFTP_INSIDE, Account, Server, running
from tests.servers.proxy import Proxy, proxied

MIB = 1 << 20
BODY = random.Random(4).randbytes(24 * MIB + 321)
KEY = "job/backup/shop.dump"


@pytest.fixture
def root(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


@pytest.fixture(params=["with a shell", "without a shell", "with one channel"])
def server(request: pytest.FixtureRequest, ssh_account: Account, openssh: Server) -> Iterator[Server]:
    """One that hashes what is there, and two from which it has to be read back."""
    if request.param == "with a shell":
        yield openssh
        return
    setting = "MaxSessions 1" if request.param == "with one channel" else "ForceCommand internal-sftp"
    with running(ssh_account, SFTP_INSIDE, setting) as plain:
        yield plain


@pytest.fixture
def network(openssh: Server) -> Iterator[Proxy]:
    with proxied(openssh.port) as proxy:
        yield proxy


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as made:
        made.append(BODY[start : start + MIB] for start in range(0, len(BODY), MIB))
        made.finish()
        yield made


def parts(root: Path) -> list[Path]:
    return list(root.glob(".incoming/*"))


def broken_off(openssh: Server, network: Proxy, root: Path, spool: Spool) -> tuple[SFTP, Path]:
    """A storage with an upload that was cut, and the part that it has left."""
    storage = openssh.storage(root, port=network.port)
    network.cut(sent=10 * MIB)
    with pytest.raises(ConnectionError, match="broke off"):
        storage.put_resumable(KEY, spool)
    (part,) = parts(root)
    return storage, part


def test_a_cut_upload_goes_on_behind_what_is_proven_to_be_there(server: Server, root: Path, spool: Spool) -> None:
    with proxied(server.port) as network:
        storage = server.storage(root, port=network.port)
        assert isinstance(storage, ResumesUploads)
        for _ in range(3):
            network.cut(sent=7 * MIB)
            with pytest.raises(ConnectionError, match="broke off"):
                storage.put_resumable(KEY, spool)
            assert keys(storage) == []
            assert len(parts(root)) == 1
        storage.put_resumable(KEY, spool)
        assert network.carried["sent"] < 2 * len(BODY)
        assert network.carried["sent"] < len(BODY) + 6 * MIB, "more was sent again than had been on its way"
        assert content(storage, KEY) == BODY
        assert parts(root) == []


def test_an_upload_that_follows_a_dump_goes_on_while_the_dump_does(
    openssh: Server, network: Proxy, root: Path, tmp_path: Path
) -> None:
    storage = openssh.storage(root, port=network.port)
    with Spool(tmp_path / "growing") as spool:
        spool.append([BODY[: 20 * MIB]])
        network.cut(sent=10 * MIB)
        with pytest.raises(ConnectionError):
            storage.put_resumable(KEY, spool)
        spool.append([BODY[20 * MIB :]])
        spool.finish()
        storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY


def test_a_beginning_with_one_wrong_byte_is_not_built_upon(server: Server, root: Path, spool: Spool) -> None:
    with proxied(server.port) as network:
        storage, part = broken_off(server, network, root, spool)
        with part.open("r+b") as file:
            file.seek(MIB)
            file.write(bytes([BODY[MIB] ^ 1]))
        storage.put_resumable(KEY, spool)
        assert content(storage, KEY) == BODY
        assert parts(root) == []


def test_a_beginning_with_a_hole_is_not_built_upon(openssh: Server, network: Proxy, root: Path, spool: Spool) -> None:
    storage, part = broken_off(openssh, network, root, spool)
    os.truncate(part, MIB)
    os.truncate(part, 12 * MIB)
    storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY


def test_a_part_that_was_cleaned_away_is_begun_anew(openssh: Server, network: Proxy, root: Path, spool: Spool) -> None:
    storage, part = broken_off(openssh, network, root, spool)
    storage.drop_part(part.name)
    storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY


def test_a_link_in_the_parts_place_is_not_written_through(
    openssh: Server, network: Proxy, root: Path, spool: Spool, ssh_account: Account
) -> None:
    storage, part = broken_off(openssh, network, root, spool)
    outside = ssh_account.new_folder() / "precious"
    outside.write_bytes(BODY[:MIB])  # what would be taken for a good beginning
    shutil.chown(outside, ssh_account.name)
    part.unlink()
    part.symlink_to(outside)
    storage.put_resumable(KEY, spool)
    assert outside.read_bytes() == BODY[:MIB]
    assert content(storage, KEY) == BODY
    assert not (root / KEY).is_symlink()


def test_a_part_larger_than_the_dump_is_not_built_upon(
    openssh: Server, network: Proxy, root: Path, spool: Spool
) -> None:
    storage, part = broken_off(openssh, network, root, spool)
    part.write_bytes(BODY + b"and more")
    storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY


def test_a_part_that_nobody_will_finish_is_removed(openssh: Server, network: Proxy, root: Path, spool: Spool) -> None:
    storage, part = broken_off(openssh, network, root, spool)
    storage.forget_upload(KEY)
    assert not part.exists()
    storage.forget_upload(KEY)  # nothing is left to forget
    storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY


def test_a_dump_that_fails_after_a_cut_leaves_no_part(
    openssh: Server, network: Proxy, root: Path, tmp_path: Path
) -> None:
    storage = openssh.storage(root, port=network.port)
    with Spool(tmp_path / "failing") as spool:
        spool.append([BODY])
        network.cut(sent=10 * MIB)
        with pytest.raises(ConnectionError):
            storage.put_resumable(KEY, spool)
        spool.abort()
        with pytest.raises(SpoolAborted):
            storage.put_resumable(KEY, spool)
    assert parts(root) == []


def test_an_object_whose_answer_was_lost_is_found_taken_and_leaves_no_part(
    openssh: Server, root: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def linked_and_cut(session: object, unfinished: bytes, target: bytes) -> None:
        os.link(unfinished, target)
        raise EOFError

    storage = openssh.storage(root)
    with monkeypatch.context() as patched:
        patched.setattr(module, "move_new", linked_and_cut)
        with pytest.raises(ConnectionError):
            storage.put_resumable(KEY, spool)
    with pytest.raises(ObjectExists):
        storage.put_resumable(KEY, spool)
    assert content(storage, KEY) == BODY
    assert parts(root) == []


# --- in a run ---


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database of 24 MiB that cannot be compressed."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE pictures (picture BLOB)")
        database.executemany("INSERT INTO pictures VALUES (randomblob(1048576))", [()] * 24)
        database.commit()
    return path


def job(server: Server, network: Proxy, root: Path, shop: Path, **facts: object) -> JobSpec:
    url = f"sftp://{server.account.name}@127.0.0.1:{network.port}{root}"
    url += f"?fingerprint={quote(server.fingerprint())}&private_key_file={server.account.key()}"
    return JobSpec.model_validate(
        {"source": f"sqlite:///{shop}", "destinations": [url], "compression": "none", **facts}
    )


def test_a_run_whose_upload_is_cut_sends_little_twice_and_is_proven(
    home: Path, openssh: Server, network: Proxy, root: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.01)
    network.cut(sent=9 * MIB, times=2)
    report = backup(job(openssh, network, root, shop))
    assert [copy.checked for copy in report.copies] == ["hashed by the server"]
    assert network.connections > 2, "it was not cut"
    assert network.carried["sent"] < 1.5 * shop.stat().st_size
    assert parts(root) == []


@pytest.mark.parametrize("spool", ["disk", "memory"])
def test_a_run_whose_uploads_are_always_cut_leaves_no_part(
    home: Path, openssh: Server, network: Proxy, root: Path, shop: Path, monkeypatch: pytest.MonkeyPatch, spool: str
) -> None:
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.01)
    network.cut(sent=2 * MIB, times=2 if spool == "disk" else 1)
    with pytest.raises(RunFailed, match="broke off"):
        backup(job(openssh, network, root, shop, retries=1, spool=spool))
    assert [path for path in root.rglob("*") if path.is_file()] == []
