"""An OpenSSH server hashes an upload while it arrives: the proof is there as soon as the last byte is."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from adapters.storage.sftp import following
from adapters.storage.sftp.connection import Connection
from adapters.storage.sftp.following import FOLLOWED_FROM, STEP
from core.errors import ChecksumMismatch, ConnectionError
from core.streams import Chunk
from services.backups import prove
from services.spool import Spool
from tests.adapters.storage_contract import content, keys
from tests.adapters.stored_files import left_in, manifest_file
from tests.servers.openssh import SFTP_INSIDE, Account, Server, running
from tests.servers.proxy import proxied

MIB = 1 << 20
BODY = random.Random(5).randbytes(FOLLOWED_FROM + 2 * STEP + 4321)
HASH = hashlib.sha256(BODY).hexdigest()


def pieces(body: bytes = BODY) -> Iterator[Chunk]:
    return (body[start : start + MIB] for start in range(0, len(body), MIB))


def instead(command: str) -> str:
    """The setting of a server that has SFTP, and runs this for every other command."""
    inside = "internal-sftp) exec /usr/lib/openssh/sftp-server"
    return f'ForceCommand case "$SSH_ORIGINAL_COMMAND" in {inside};; *) {command}; esac'


@pytest.fixture
def root(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


@pytest.fixture(autouse=True)
def _as_over_a_slow_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is faster than what is followed."""
    monkeypatch.setattr(following, "FAST", float("inf"))


@pytest.fixture
def never_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that is asked for when everything is there is an error."""

    def refused(*_: object, **__: object) -> str:
        raise AssertionError("the server was asked to hash the whole object once more")

    monkeypatch.setattr(Connection, "sha256", refused)


@pytest.mark.parametrize("folder", ["plain", 'it\'s; $(id) "x"'])
def test_what_has_arrived_is_hashed_when_it_has_arrived(
    openssh: Server, root: Path, folder: str, never_later: None
) -> None:
    storage = openssh.storage(root / folder)
    storage.put("job/a", pieces())
    assert prove(storage, "job/a", manifest_file(BODY)) == "hashed by the server"


def test_the_hash_is_told_once(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root)
    storage.put("a", pieces())
    assert [storage.arrived_sha256("a") for _ in range(2)] == [HASH, None]


def test_a_small_object_needs_no_command_beside_its_upload(
    openssh: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Connection, "command", lambda _, line: asked.append(line))
    storage = openssh.storage(root)
    storage.put("a", [BODY[: FOLLOWED_FROM - 1]])
    assert (storage.arrived_sha256("a"), asked) == (None, [])


def test_an_upload_that_keeps_the_server_busy_is_not_followed(
    openssh: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FAST", 1)
    storage = openssh.storage(root)
    storage.put("a", pieces())
    assert storage.arrived_sha256("a") is None
    assert prove(storage, "a", manifest_file(BODY)) == "hashed by the server"


def test_a_slow_network_is_followed_by_itself(openssh: Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with proxied(openssh.port) as network:
        network.bandwidth = 20 * MIB
        storage = openssh.storage(root, port=network.port)
        storage.put("a", pieces())
        assert storage.arrived_sha256("a") == HASH


def test_an_upload_that_goes_on_after_a_cut_is_followed_from_its_beginning(
    openssh: Server, root: Path, tmp_path: Path
) -> None:
    with proxied(openssh.port) as network, Spool(tmp_path / "spool") as spool:
        spool.append(pieces())
        spool.finish()
        storage = openssh.storage(root, port=network.port)
        network.cut(sent=FOLLOWED_FROM + STEP)
        with pytest.raises(ConnectionError, match="broke off"):
            storage.put_resumable("a", spool)
        assert storage._broken, "nothing is left to go on with"
        storage.put_resumable("a", spool)
        assert storage.arrived_sha256("a") == HASH


def test_an_object_that_has_lost_its_end_since_is_not_proven_by_what_arrived(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root)
    storage.put("a", pieces())
    with (root / "a").open("r+b") as file:
        file.truncate(len(BODY) - 1)
    with pytest.raises(ChecksumMismatch, match="says the server"):
        prove(storage, "a", manifest_file(BODY))


def test_other_bytes_than_were_dumped_are_never_proven_by_what_arrived(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root)
    storage.put("a", pieces(BODY[:-1] + b"!"))
    with pytest.raises(ChecksumMismatch, match="says the server"):
        prove(storage, "a", manifest_file(BODY))


@pytest.mark.parametrize(
    "setting",
    ["ForceCommand internal-sftp", "MaxSessions 1", instead("exit 1"), instead("yes no")],
    ids=["no shell", "one channel", "every command fails", "every command talks"],
)
def test_a_server_that_cannot_hash_takes_the_upload_all_the_same(
    ssh_account: Account, root: Path, setting: str
) -> None:
    with running(ssh_account, SFTP_INSIDE, setting) as server:
        storage = server.storage(root)
        storage.put("a", pieces())
        assert storage.arrived_sha256("a") is None
        assert content(storage, "a") == BODY


def test_a_command_that_never_answers_is_given_up_and_the_upload_counts(ssh_account: Account, root: Path) -> None:
    with running(ssh_account, SFTP_INSIDE, instead("sleep 60")) as server:
        storage = server.storage(root, timeout=1)
        storage.put("a", pieces())
        assert storage.arrived_sha256("a") is None
        assert keys(storage) == ["a"]


def test_several_uploads_take_one_channel_beside_their_own(ssh_account: Account, root: Path) -> None:
    """Two uploads on a server that allows three channels: a command for each would be one too many."""
    with running(ssh_account, SFTP_INSIDE, "MaxSessions 3") as server:
        storage, both = server.storage(root), Barrier(2)

        def slowly() -> Iterator[Chunk]:
            for number, piece in enumerate(pieces()):
                if number * MIB == FOLLOWED_FROM + STEP:
                    both.wait(60)
                yield piece

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda key: storage.put(key, slowly()), ["a", "b"]))
        assert sorted(str(storage.arrived_sha256(key)) for key in ("a", "b")) == sorted([HASH, "None"])
        assert [prove(storage, key, manifest_file(BODY)) for key in ("a", "b")] == ["hashed by the server"] * 2


def test_an_upload_that_fails_leaves_neither_a_part_nor_a_command(openssh: Server, root: Path) -> None:
    def failing() -> Iterator[Chunk]:
        yield from pieces()
        raise RuntimeError("the dump has failed")

    storage = openssh.storage(root)
    with pytest.raises(RuntimeError, match="dump"):
        storage.put("a", failing())
    assert (left_in(root), storage.arrived_sha256("a")) == ([], None)
    assert storage._connection.following.acquire(timeout=30)
