"""A folder of an OpenSSH server as a destination: the contract of every storage, and what SFTP can do to it."""

from __future__ import annotations

import gc
import hashlib
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from paramiko import Channel, Transport

from adapters.storage import STORAGES
from adapters.storage.keys import MARK
from adapters.storage.sftp import SFTP, transfer
from adapters.storage.sftp.protocol import FSYNC, HARDLINK, LIMITS, STATVFS, Refusal, Session
from blocks.storages import SFTPStorage
from core.errors import ChecksumMismatch, ConnectionError, ObjectExists, ObjectNotFound, StorageError, StorageFull
from core.jobs import JobSpec, RestoreSpec
from core.ports import Markable
from flows.backup import backup
from flows.restore import restore
from services.backups import prove
from tests.adapters.folder_contract import FolderContract
from tests.adapters.storage_contract import StorageContract, content, keys
from tests.adapters.stored_files import left_in, manifest_file
from tests.disks import small_disk
from tests.servers.openssh import SFTP_INSIDE, Account, Server, running
from tests.servers.proxy import Proxy, proxied
from tests.waiting import until

MIB = 1 << 20
CHUNK = b"x" * MIB


@pytest.fixture
def root(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


@pytest.fixture
def outside(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


@pytest.fixture
def storage(openssh: Server, root: Path) -> SFTP:
    return openssh.storage(root)


@pytest.fixture
def broken(storage: SFTP, root: Path) -> SFTP:
    """One folder in it may not be read."""
    storage.put("a/readable", [b"x"])
    storage.put("b/unreadable", [b"x"])
    (root / "b").chmod(0)
    return storage


@pytest.fixture
def network(openssh: Server) -> Iterator[Proxy]:
    with proxied(openssh.port) as proxy:
        yield proxy


class TestSFTP(FolderContract):
    """The whole contract."""


class TestSFTPWithoutExtensions(StorageContract):
    """The whole contract on a server that knows version 3 of the protocol and nothing of OpenSSH's own."""

    @pytest.fixture(autouse=True)
    def _no_extensions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        greet = Session._greet

        def greeted(session: Session) -> dict[bytes, bytes]:
            known = greet(session)
            return {name: known[name] for name in known.keys() - {FSYNC, HARDLINK, LIMITS, STATVFS}}

        monkeypatch.setattr(Session, "_greet", greeted)

    def test_the_free_space_is_unknown(self, storage: SFTP) -> None:
        assert storage.free_space() is None


def test_the_table_of_storages_knows_it() -> None:
    assert STORAGES["sftp"] is SFTP


# --- where it is ---


def test_a_missing_root_is_made_with_its_parents_and_is_private(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root / "new" / "destination")
    storage.check()
    storage.put("a/b", [b"x"])
    below = {(path.is_dir(), oct(stat.S_IMODE(path.stat().st_mode))) for path in root.rglob("*")}
    assert below == {(True, "0o700"), (False, "0o600")}


def test_a_missing_root_is_not_an_empty_one(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root / "unmounted")
    with pytest.raises(StorageError, match="does not exist") as failure:
        list(storage.list())
    assert not isinstance(failure.value, ObjectNotFound)
    with pytest.raises(StorageError, match="does not exist"):
        storage.present("a")
    assert "mounted" in failure.value.hint
    assert (storage.free_space() or 0) > 0


def test_a_path_without_a_slash_is_below_the_logins_own_folder(openssh: Server, root: Path) -> None:
    openssh.storage(Path(root.name)).put("a", [b"x"])
    assert left_in(root) == ["a"]


def test_one_place_has_one_identity_by_whatever_path(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root)
    storage.put("a", [b"x"])
    (root.parent / f"{root.name}-link").symlink_to(root)
    assert openssh.storage(Path(f"{root}-link")).identity() == storage.identity()
    assert openssh.storage(Path(root.name)).identity() == storage.identity()
    assert openssh.storage(root / "other").identity() != storage.identity()


# --- a disk that is not mounted on the server ---


@pytest.fixture
def marked(openssh: Server, root: Path) -> SFTP:
    """A saved storage, as it is opened after it was marked."""
    storage = openssh.storage(root, marked=True)
    storage.mark()
    return storage


class TestMarkedSFTP(StorageContract):
    """The whole contract on a saved storage."""

    @pytest.fixture
    def storage(self, marked: SFTP) -> SFTP:
        return marked


def test_a_saved_storage_is_a_marked_one(home: Path, openssh: Server, root: Path) -> None:
    saved = SFTPStorage.of(openssh.config(root))
    with pytest.raises(StorageError, match="does not hold the file"):
        saved.open().check()
    place = saved.open()
    assert isinstance(place, Markable)
    place.mark()
    saved.open().check()


def test_marking_makes_the_folder_and_marking_again_changes_nothing(openssh: Server, root: Path) -> None:
    storage = openssh.storage(root / "new" / "destination", marked=True)
    storage.mark()
    mark = root / "new" / "destination" / MARK
    before = mark.stat()
    storage.mark()
    assert mark.stat() == before
    assert stat.S_IMODE(before.st_mode) == 0o600
    storage.check()


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
@pytest.mark.parametrize("used_before", [True, False])
def test_a_saved_storage_whose_disk_is_missing_is_neither_made_nor_empty(
    marked: SFTP, openssh: Server, root: Path, left: str, used_before: bool
) -> None:
    marked.put("a/b", [b"x"])
    storage = marked if used_before else openssh.storage(root, marked=True)
    root.rename(root.with_name(f"{root.name}-unmounted"))
    if left != "nothing":
        root.mkdir()
        root.chmod(0o777)
    for use in (
        lambda: storage.put("a/c", [b"x"]),
        lambda: list(storage.list()),
        lambda: content(storage, "a/b"),
        lambda: storage.delete("a/b"),
        lambda: storage.present("a/b"),
        lambda: storage.remote_sha256("a/b"),
        storage.check,
        storage.identity,
        storage.parts,
    ):
        with pytest.raises(StorageError, match=f"does not {'exist' if left == 'nothing' else 'hold the file'}") as no:
            use()
        assert "is its disk mounted on the server?" in no.value.hint
        assert not isinstance(no.value, ObjectNotFound)
    assert left_in(root) == []
    assert root.exists() is (left != "nothing")


# --- whole or not at all ---


def test_an_early_write_that_the_server_refuses_fails_the_upload(
    storage: SFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first writes of many go to a handle that does not exist; those behind them succeed."""
    ask, asked = Session.ask_to_write, list[tuple[int, int]]()

    def first_ones_astray(session: Session, handle: bytes, offset: int, data: memoryview) -> list[tuple[int, int]]:
        asked.extend(found := ask(session, b"nowhere" if offset == 0 else handle, offset, data))
        return found

    monkeypatch.setattr(Session, "ask_to_write", first_ones_astray)
    with pytest.raises(StorageError) as failure:
        storage.put("job/a", [CHUNK, CHUNK])
    assert sum(size for _, size in asked) == 2 * len(CHUNK), "every write was sent before the first was answered for"
    assert failure.value.hint
    assert left_in(root) == []


def test_a_file_is_durable_before_it_has_its_name(storage: SFTP, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def note(name: str) -> None:
        method = getattr(Session, name)

        def noted(*arguments: Any) -> Any:
            done.append(name)
            return method(*arguments)

        monkeypatch.setattr(Session, name, noted)

    for name in ("written", "sync", "close_handle", "hardlink"):
        note(name)
    storage.put("a", [b"x"])
    assert done == ["written", "sync", "close_handle", "hardlink"]


def test_a_folder_pruned_at_the_last_moment_is_made_again(
    storage: SFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, pruned = Session.hardlink, list[bool]()

    def prune_then_link(session: Session, old: bytes, new: bytes) -> None:
        if not pruned:
            pruned.append(True)
            (root / "job").rmdir()
        link(session, old, new)

    monkeypatch.setattr(Session, "hardlink", prune_then_link)
    storage.put("job/a", [b"x"])
    assert content(storage, "job/a") == b"x"
    assert pruned


def test_a_file_system_without_hard_links_takes_objects_and_overwrites_none(
    storage: SFTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise Refusal(4, "Failure")

    monkeypatch.setattr(Session, "hardlink", refused)
    storage.put("a", [b"first"])
    monkeypatch.setattr(SFTP, "_refuse_taken", lambda *_: None)
    with pytest.raises(ObjectExists):
        storage.put("a", [b"second"])
    assert content(storage, "a") == b"first"


# --- what a disk can do ---


def test_a_disk_that_fills_up_midway_keeps_nothing_and_says_how_much_was_sent(openssh: Server, root: Path) -> None:
    with small_disk(root, megabytes=20) as disk:
        disk.chmod(0o777)
        storage = openssh.storage(disk)
        storage.put("job/good", [CHUNK])
        with pytest.raises(StorageFull, match=r"bytes of 'job/too-large' had been sent, \d+ bytes are free") as failure:
            storage.put("job/too-large", (CHUNK for _ in range(60)))
        assert failure.value.hint
        assert left_in(disk) == ["job/good"]
        assert (storage.free_space() or 0) >= 18 * len(CHUNK)
        storage.put("job/fits", [CHUNK])


def test_a_folder_of_somebody_else_is_said_to_be_one(openssh: Server, ssh_account: Account, root: Path) -> None:
    root.chmod(0o500)
    storage = openssh.storage(root)
    for use in (storage.check, lambda: storage.put("a", [b"x"])):
        with pytest.raises(StorageError, match=f"permission denied for '{ssh_account.name}'") as failure:
            use()
        assert str(root) in failure.value.hint


# --- what a network can do ---


def test_an_upload_that_is_cut_leaves_nothing_and_can_be_tried_again(
    openssh: Server, network: Proxy, root: Path
) -> None:
    storage = openssh.storage(root, port=network.port)
    storage.check()
    network.cut(sent=3_000_000)
    with pytest.raises(ConnectionError, match="broke off") as failure:
        storage.put("job/a", (CHUNK for _ in range(20)))
    assert not failure.value.permanent
    assert left_in(root) == []
    storage.put("job/a", (CHUNK for _ in range(20)))
    assert content(storage, "job/a") == CHUNK * 20


def test_a_download_that_is_cut_is_an_error(openssh: Server, network: Proxy, root: Path) -> None:
    storage = openssh.storage(root, port=network.port)
    storage.put("a", (CHUNK for _ in range(20)))
    network.cut(received=3_000_000)
    with pytest.raises(ConnectionError, match="broke off"):
        content(storage, "a")
    assert len(content(storage, "a")) == 20 * len(CHUNK)


@pytest.mark.parametrize("use", ["put", "get", "list"])
def test_a_network_that_falls_silent_is_an_error_with_a_number(
    openssh: Server, network: Proxy, root: Path, use: str
) -> None:
    storage = openssh.storage(root, port=network.port, timeout=1, connect_timeout=1)
    storage.put("a", [CHUNK] * 10)

    def silenced() -> Iterator[bytes]:
        yield CHUNK
        network.silent = True
        for _ in range(60):
            yield CHUNK

    network.silent = use != "put"
    uses = {"put": lambda: storage.put("b", silenced()), "get": lambda: content(storage, "a"), "list": storage.list}
    with pytest.raises(ConnectionError, match="did not answer within 1 seconds") as failure:
        list(uses[use]() or ())
    assert not failure.value.permanent
    assert "timeout" in failure.value.hint


def test_a_slow_line_is_no_silent_one(
    openssh: Server, network: Proxy, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.proxy.IN_FLIGHT", 1)  # what waits before the line, as in the buffer of a modem
    timeout, sent = 2, 3 * MIB
    storage = openssh.storage(root, port=network.port, timeout=timeout, connect_timeout=5)
    storage.check()
    network.bandwidth = 3 * MIB // 4
    assert sent / network.bandwidth >= 2 * timeout
    storage.put("slow", [b"x" * sent])
    network.heal()
    assert content(storage, "slow") == b"x" * sent


def test_a_server_that_never_greets_is_an_error_with_a_number(openssh: Server, network: Proxy, root: Path) -> None:
    network.silent = True
    with pytest.raises(ConnectionError, match=r"within 1 seconds") as failure:
        openssh.storage(root, port=network.port, connect_timeout=1).check()
    assert failure.value.hint


def test_a_window_of_writes_and_reads_is_all_that_is_held(
    openssh: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_flight, most = dict[int, int](), list[int]()  # the bytes of each request, and of all

    def count(ask: str, answer: str) -> None:
        asking, answering = getattr(Session, ask), getattr(Session, answer)

        def asked(*arguments: Any) -> Any:
            found = asking(*arguments)
            sizes = [size for _, size in (found if ask == "ask_to_write" else arguments[-1])]
            numbers = [number for number, _ in found] if ask == "ask_to_write" else found
            in_flight.update(zip(numbers, sizes, strict=True))
            most.append(sum(in_flight.values()))
            return found

        def answered(session: Session, number: int) -> Any:
            del in_flight[number]
            return answering(session, number)

        monkeypatch.setattr(Session, ask, asked)
        monkeypatch.setattr(Session, answer, answered)

    count("ask_to_write", "written")
    count("ask_to_read", "read")
    storage = openssh.storage(root)
    for use in (lambda: storage.put("a", [CHUNK] * 40), lambda: content(storage, "a")):
        most.clear()
        use()
        assert transfer.WINDOW * 3 // 4 < max(most) <= transfer.WINDOW
    assert in_flight == {}


# --- one connection ---


def test_threads_share_one_connection(openssh: Server, network: Proxy, root: Path) -> None:
    storage = openssh.storage(root, port=network.port)
    bodies = {f"job/{number}": bytes([number]) * 3_000_000 for number in range(6)}

    def round_trip(key: str) -> None:
        storage.put(key, [bodies[key]])
        assert content(storage, key) == bodies[key]

    threads = [threading.Thread(target=round_trip, args=(key,)) for key in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: content(storage, key) for key in keys(storage)} == bodies
    assert network.connections == 1


def test_no_thread_is_left_when_a_storage_is_forgotten(openssh: Server, root: Path) -> None:
    before = set(threading.enumerate())
    storage = openssh.storage(root)
    storage.check()
    own = [thread for thread in threading.enumerate() if isinstance(thread, Transport) and thread not in before]
    assert len(own) == 1
    del storage
    gc.collect()
    until(lambda: not own[0].is_alive(), "the connection's thread to end")


def test_more_transfers_than_the_server_has_channels_for_are_said_to_be_too_many(
    ssh_account: Account, root: Path
) -> None:
    with running(ssh_account, SFTP_INSIDE, "MaxSessions 2") as server:
        storage = server.storage(root)
        storage.put("a", [CHUNK] * 20)
        readers = [storage.get("a") for _ in range(3)]
        for reader in readers[:2]:
            next(reader)
        with pytest.raises(ConnectionError, match="no further channel") as failure:
            next(readers[2])
        assert "MaxSessions" in failure.value.hint


# --- what the server can hash ---


@pytest.mark.parametrize("key", ["job/a", 'it\'s; $(id) "x"\n'])
def test_a_server_with_a_shell_hashes_an_object_itself(storage: SFTP, key: str) -> None:
    storage.put(key, [CHUNK])
    assert storage.remote_sha256(key) == hashlib.sha256(CHUNK).hexdigest()
    with pytest.raises(ObjectNotFound):
        storage.remote_sha256("missing")


def test_a_server_without_a_shell_hashes_nothing(ssh_account: Account, root: Path) -> None:
    with running(ssh_account, SFTP_INSIDE, "ForceCommand internal-sftp") as server:
        storage = server.storage(root)
        storage.put("a", [CHUNK])
        assert storage.remote_sha256("a") is None
        assert content(storage, "a") == CHUNK


# --- what is no SFTP server ---


def test_a_server_without_the_sftp_subsystem_is_said_to_lack_it(ssh_account: Account, root: Path) -> None:
    with running(ssh_account) as server, pytest.raises(StorageError, match="has no SFTP for") as failure:
        server.storage(root).check()
    assert "Subsystem" in failure.value.hint


@pytest.mark.parametrize("gone", [False, True])
def test_a_subsystem_that_talks_something_else_is_said_to(
    ssh_account: Account, root: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """Also where its end is seen before anything could be asked of it."""
    invoke = Channel.invoke_subsystem

    def invoked(channel: Channel, subsystem: str) -> None:
        invoke(channel, subsystem)
        if gone:
            until(lambda: channel.closed, "the subsystem to be gone")

    monkeypatch.setattr(Channel, "invoke_subsystem", invoked)
    with (
        running(ssh_account, "Subsystem sftp /bin/echo Welcome, dear user") as server,
        pytest.raises(StorageError, match="does not speak SFTP") as failure,
    ):
        server.storage(root).check()
    assert "login shell" in failure.value.hint


def test_a_copy_that_the_server_can_hash_is_proven_by_it_and_one_changed_byte_is_found(
    storage: SFTP, root: Path
) -> None:
    body = CHUNK * 3
    storage.put("job/a", [body])
    written = manifest_file(body)
    assert prove(storage, "job/a", written) == "hashed by the server"
    with (root / "job" / "a").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"y")
    with pytest.raises(ChecksumMismatch, match="says the server"):
        prove(storage, "job/a", written)


def test_a_copy_that_the_server_cannot_hash_is_read_back(
    storage: SFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SFTP, "remote_sha256", lambda *_: None)
    storage.put("a", [CHUNK])
    assert prove(storage, "a", manifest_file(CHUNK)) == "read back"
    (root / "a").write_bytes(CHUNK[:-1] + b"y")
    with pytest.raises(ChecksumMismatch):
        prove(storage, "a", manifest_file(CHUNK))


def test_a_backup_on_sftp_says_how_it_was_proven_and_comes_back(
    home: Path, openssh: Server, root: Path, tmp_path: Path
) -> None:
    source, back = tmp_path / "shop.db", tmp_path / "back.db"
    with closing(sqlite3.connect(source)) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO orders VALUES (?)", [(number,) for number in range(1000)])
        database.commit()
    url = f"sftp://{openssh.account.name}@127.0.0.1:{openssh.port}{root}"
    url += f"?fingerprint={quote(openssh.fingerprint())}&private_key_file={openssh.account.key()}"
    report = backup(JobSpec.model_validate({"source": f"sqlite:///{source}", "destinations": [url]}))
    assert [copy.checked for copy in report.copies] == ["hashed by the server"]
    restored = restore(
        RestoreSpec.model_validate({"backup": report.backup_id, "storage": url, "target": f"sqlite:///{back}"})
    )
    assert [one.rows for one in restored.restored] == [1000]
