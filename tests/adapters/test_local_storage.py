"""A folder as a destination: the contract of every storage, and what only a disk can do to it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.storage import STORAGES
from adapters.storage.keys import MARK
from adapters.storage.local import Local, LocalConfig
from core.errors import ConfigurationError, ObjectExists, ObjectNotFound, StorageError, StorageFull
from core.ports import AdoptsFiles
from tests.adapters.folder_contract import FolderContract
from tests.adapters.storage_contract import StorageContract, content, keys
from tests.adapters.stored_files import left_in
from tests.disks import as_nobody, small_disk

CHUNK = b"x" * (1 << 20)


def local(path: Path) -> Local:
    return Local(LocalConfig(path=path))


def modes(root: Path) -> set[tuple[str, str]]:
    """What lies below the root: whether it is a folder or a file, and its mode."""
    below = [path.lstat().st_mode for path in root.rglob("*")]
    return {("folder" if stat.S_ISDIR(mode) else "file", oct(stat.S_IMODE(mode))) for mode in below}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "destination"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    return made


@pytest.fixture
def storage(root: Path) -> Local:
    return local(root)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def broken(open_to_all: Path) -> Iterator[Local]:
    """One folder in it may not be read."""
    storage = local(open_to_all)
    storage.put("a/readable", [b"x"])
    storage.put("b/unreadable", [b"x"])
    (open_to_all / "a").chmod(0o755)
    with as_nobody():
        yield storage


class TestLocal(FolderContract):
    """The whole contract."""


class TestLocalWithoutHardLinks(StorageContract):
    """The whole contract on a file system that refuses hard links, as FAT and some network mounts do."""

    @pytest.fixture(autouse=True)
    def _no_hard_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)

    def test_a_file_cannot_be_adopted_and_stays_where_it_is(self, storage: Local) -> None:
        finished = storage.staging() / "spool"
        finished.write_bytes(b"whole")
        assert not storage.adopt("a", finished)
        assert finished.read_bytes() == b"whole"
        assert keys(storage) == []


# --- where it is ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/backups", "/srv/backups"),
        ("file:////srv/backups", "/srv/backups"),
        ("file://localhost/srv/backups", "/srv/backups"),
        ("file:///srv/a%20b%3F%23%25", "/srv/a b?#%"),
        ("/srv/plain %20?#", "/srv/plain %20?#"),
        ("file:///./here", f"{Path.cwd()}/here"),
        ("here", f"{Path.cwd()}/here"),
    ],
)
def test_a_url_or_a_path_names_the_folder(url: str, path: str) -> None:
    assert str(LocalConfig.from_url(url).path) == path


@pytest.mark.parametrize("url", ["file://server/share", "file:///", "file:///a?b=c", "file:///a#b", "s3://bucket/x"])
def test_a_url_that_names_no_folder_here_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        LocalConfig.from_url(url)
    assert refusal.value.hint


def test_the_table_of_storages_knows_it() -> None:
    assert STORAGES["local"] is Local


def test_a_missing_root_is_made_with_its_parents(tmp_path: Path) -> None:
    storage = local(tmp_path / "new" / "destination")
    storage.check()
    storage.put("a/b", [b"x"])
    assert modes(tmp_path) == {("folder", "0o700"), ("file", "0o600")}


def test_a_missing_root_is_not_an_empty_one(tmp_path: Path) -> None:
    storage = local(tmp_path / "unmounted")
    with pytest.raises(StorageError, match="does not exist") as failure:
        list(storage.list())
    assert "mounted" in failure.value.hint
    assert not isinstance(failure.value, ObjectNotFound)
    assert storage.free_space() > 0


def test_a_root_may_be_reached_through_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    local(tmp_path / "link").put("a", [b"x"])
    assert keys(local(root)) == ["a"]


# --- private, durable, tidy ---


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_files_and_folders_are_private_whatever_the_umask(root: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        local(root).put("job/backup/shop.dump", [b"x"])
    finally:
        os.umask(previous)
    assert modes(root) == {("folder", "0o700"), ("file", "0o600")}


def test_the_bytes_are_durable_before_the_name_and_the_name_before_success(
    storage: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("job/earlier", [b"x"])
    done: list[str] = []
    sync, link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        done.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def linked(*names: Any, **folders: Any) -> None:
        done.append("link")
        link(*names, **folders)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", linked)
    storage.put("job/now", [b"x"])
    assert done == ["sync file", "link", "sync folder"]


def test_a_name_that_could_not_be_made_durable_is_taken_back(
    storage: Local, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("job/earlier", [b"x"])
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="Input/output") as failure:
        storage.put("job/now", [b"x"])
    assert not failure.value.permanent
    assert left_in(root) == ["job/earlier"]


def test_a_killed_upload_is_never_listed(root: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from adapters.storage.local import Local, LocalConfig
def chunks():
    yield b"x" * 100_000
    print("halfway", flush=True)
    sys.stdin.read()
Local(LocalConfig(path=Path({str(root)!r}))).put("job/object", chunks())
"""
    upload = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with upload:
        assert upload.stdout is not None
        assert upload.stdout.readline() == b"halfway\n"
        upload.send_signal(signal.SIGKILL)
    assert keys(local(root)) == []
    (abandoned,) = left_in(root)
    assert abandoned.startswith(".incoming/upload-")


def test_a_folder_pruned_at_the_last_moment_is_made_again(
    storage: Local, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link
    pruned: list[bool] = []

    def prune_then_link(*names: Any, **folders: Any) -> None:
        if not pruned:
            pruned.append(True)
            (root / "job").rmdir()
        link(*names, **folders)

    monkeypatch.setattr(os, "link", prune_then_link)
    storage.put("job/a", [b"x"])
    assert content(storage, "job/a") == b"x"


# --- what a disk can do ---


def test_a_disk_that_fills_up_midway_keeps_nothing_and_says_how_much_was_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=20) as disk:
        storage = local(disk)
        storage.put("job/good", [CHUNK])
        with pytest.raises(StorageFull) as failure:
            storage.put("job/too-large", (CHUNK for _ in range(30)))
        assert left_in(disk) == ["job/good"]
        assert storage.free_space() >= 18 * len(CHUNK)
        storage.put("job/fits", [CHUNK])
    assert f"{19 * len(CHUNK):,} bytes" in failure.value.message
    assert "bytes are free" in failure.value.message
    assert failure.value.hint


def test_free_space_is_that_of_the_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=20) as disk:
        assert local(disk / "not" / "yet").free_space() == 20 * len(CHUNK)


def test_a_destination_of_somebody_else_is_said_to_be_one(open_to_all: Path) -> None:
    storage = local(open_to_all)
    with as_nobody():
        for use in (storage.check, lambda: storage.put("a", [b"x"]), storage.staging):
            with pytest.raises(StorageError, match="Permission denied") as failure:
                use()
            assert "65534" in failure.value.hint


# --- what lies there beside objects ---


def test_the_hidden_folder_has_no_keys(storage: Local) -> None:
    (storage.staging() / "spool").write_bytes(b"x")
    for use in (lambda: content(storage, ".incoming/spool"), lambda: storage.delete(".incoming/spool")):
        with pytest.raises(StorageError):
            use()
    assert keys(storage) == []


def test_what_lies_behind_a_link_or_below_a_missing_root_cannot_be_looked_up(
    storage: Local, root: Path, tmp_path: Path
) -> None:
    (root / "job").symlink_to(tmp_path)
    for place in (storage, local(tmp_path / "unmounted")):
        with pytest.raises(StorageError):
            place.present("job/backup.lock")


# --- adopting finished files ---


def test_a_finished_file_is_adopted_without_a_copy(storage: Local, root: Path) -> None:
    assert isinstance(storage, AdoptsFiles)
    finished = storage.staging() / "spool"
    finished.write_bytes(b"whole")
    assert storage.adopt("job/backup/shop.dump", finished)
    published = root / "job" / "backup" / "shop.dump"
    assert published.samefile(finished)
    assert stat.S_IMODE(published.stat().st_mode) == 0o600
    finished.unlink()
    assert content(storage, "job/backup/shop.dump") == b"whole"


def test_a_file_on_another_disk_is_not_adopted(storage: Local, tmp_path: Path) -> None:
    with small_disk(tmp_path / "other") as disk:
        (disk / "spool").write_bytes(b"whole")
        assert not storage.adopt("a", disk / "spool")
    assert keys(storage) == []


def test_adopting_overwrites_nothing(storage: Local) -> None:
    storage.put("a", [b"first"])
    finished = storage.staging() / "spool"
    finished.write_bytes(b"second")
    with pytest.raises(ObjectExists):
        storage.adopt("a", finished)
    assert content(storage, "a") == b"first"


# --- a disk that is not mounted ---


@pytest.fixture
def marked(root: Path) -> Local:
    """A saved storage, as it is opened after it was marked."""
    storage = Local(LocalConfig(path=root, marked=True))
    storage.mark()
    return storage


class TestMarkedLocal(StorageContract):
    """The whole contract on a saved storage."""

    @pytest.fixture
    def storage(self, marked: Local) -> Local:
        return marked


def test_marking_again_changes_nothing(marked: Local, root: Path) -> None:
    before = (root / MARK).stat()
    marked.mark()
    assert (root / MARK).stat() == before


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
def test_a_saved_storage_whose_disk_is_missing_is_neither_made_nor_empty(marked: Local, root: Path, left: str) -> None:
    marked.put("a/b", [b"x"])
    root.rename(root.with_name("unmounted"))
    if left != "nothing":
        root.mkdir()
    for use in (
        lambda: marked.put("a/c", [b"x"]),
        lambda: list(marked.list()),
        lambda: list(marked.get("a/b")),
        lambda: marked.delete("a/b"),
        marked.check,
        marked.staging,
        marked.identity,
    ):
        with pytest.raises(StorageError) as refusal:
            use()
        assert "is its disk mounted?" in refusal.value.hint
    assert left_in(root) == []
    assert root.exists() is (left != "nothing")


def test_a_folder_of_another_machine_is_said_to_lie_there_until_it_is_brought_here(marked: Local, root: Path) -> None:
    marked.put("a/b", [b"x"])
    elsewhere = Local(LocalConfig(path=root.with_name("brought"), marked=True, host="db1.example"))
    with pytest.raises(StorageError, match=rf"{root.with_name('brought')} of db1\.example") as refusal:
        list(elsewhere.list())
    assert "run it on db1.example" in refusal.value.hint
    shutil.copytree(root, root.with_name("brought"))
    assert content(elsewhere, "a/b") == b"x"
    assert elsewhere.describe().endswith("(saved on db1.example)")
    assert "db1" not in Local(LocalConfig(path=root, marked=True, host=socket.gethostname())).describe()
