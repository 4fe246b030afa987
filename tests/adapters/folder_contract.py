"""What every storage promises that keeps its objects as files below a folder, here or on a server.

A test module gives four fixtures more than for :class:`StorageContract`: ``root``, the folder of ``storage``;
``marked``, a saved storage in the same folder, marked; and ``outside``, another folder with the same owner.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage.keys import MARK
from core.errors import ObjectExists, ObjectNotFound, StorageError
from core.ports import StorageAdapter
from tests.adapters.storage_contract import StorageContract, content, keys, torn
from tests.adapters.stored_files import left_in
from tests.disks import read_only


class FolderContract(StorageContract):
    """The contract of every storage, and what can lie in a folder or happen to it."""

    def test_nothing_unfinished_remains_after_any_upload(self, storage: StorageAdapter, root: Path) -> None:
        storage.put("a", [b"x"])
        with pytest.raises(ConnectionResetError):
            storage.put("b", torn())
        with pytest.raises(ObjectExists):
            storage.put("a", [b"y"])
        assert left_in(root) == ["a"]

    def test_emptied_folders_are_removed_and_the_root_stays(self, storage: StorageAdapter, root: Path) -> None:
        storage.put("job/1/a", [b"x"])
        storage.put("job/2/a", [b"x"])
        storage.delete("job/1/a")
        assert [path.name for path in (root / "job").iterdir()] == ["2"]
        storage.delete("job/2/a")
        assert [path.name for path in root.iterdir()] == [".incoming"]

    def test_a_read_only_destination_is_said_to_be_one(self, storage: StorageAdapter, root: Path) -> None:
        storage.put("a", [b"x"])
        with read_only(root):
            for use in (storage.check, lambda: storage.put("b", [b"x"]), lambda: storage.delete("a")):
                with pytest.raises(StorageError, match=r"(?i)read-only file system") as failure:
                    use()
                assert "writable" in failure.value.hint
            assert content(storage, "a") == b"x"

    # --- what lies there beside objects ---

    def test_a_link_in_the_tree_is_neither_followed_nor_listed(
        self, storage: StorageAdapter, root: Path, outside: Path
    ) -> None:
        (outside / "secret").write_bytes(b"secret")
        storage.put("job/a", [b"x"])
        (root / "folder").symlink_to(outside)
        (root / "job" / "file").symlink_to(outside / "secret")
        for use in (
            lambda: storage.put("folder/new", [b"x"]),
            lambda: content(storage, "folder/secret"),
            lambda: storage.delete("folder/secret"),
            lambda: content(storage, "job/file"),
            lambda: storage.delete("job/file"),
            lambda: storage.present("folder/secret"),
        ):
            with pytest.raises(StorageError):
                use()
        assert keys(storage) == ["job/a"]
        assert left_in(outside) == ["secret"]

    def test_what_is_no_file_is_no_object(self, storage: StorageAdapter, root: Path) -> None:
        os.mkfifo(root / "pipe")
        (root / "folder").mkdir()
        for key in ("pipe", "folder"):
            with pytest.raises(ObjectNotFound):
                content(storage, key)
        assert keys(storage) == []

    def test_an_object_is_no_folder(self, storage: StorageAdapter) -> None:
        storage.put("a", [b"x"])
        with pytest.raises(StorageError) as failure:
            storage.put("a/b", [b"y"])
        assert failure.value.hint
        assert keys(storage) == ["a"]

    def test_whatever_has_a_name_is_present(self, storage: StorageAdapter, root: Path) -> None:
        storage.put("job/a", [b"x"])
        (root / "job" / "dangling").symlink_to("nowhere")
        (root / "job" / "folder").mkdir()
        os.mkfifo(root / "job" / "pipe")
        assert all(storage.present(f"job/{name}") for name in ("dangling", "folder", "pipe"))
        assert keys(storage) == ["job/a"]

    # --- the mark of a saved storage ---

    def test_the_mark_is_neither_listed_nor_reached_through_a_key(
        self, storage: StorageAdapter, marked: StorageAdapter
    ) -> None:
        for place in (marked, storage):
            assert keys(place) == []
            with pytest.raises(StorageError, match="is not a key"):
                place.delete(MARK)

    def test_a_disk_that_goes_in_the_midst_of_an_upload_is_not_replaced_by_a_folder(
        self, marked: StorageAdapter, root: Path
    ) -> None:
        def unmount() -> Iterator[bytes]:
            yield b"first"
            root.rename(root.with_name(f"{root.name}-unmounted"))
            root.mkdir()
            root.chmod(0o777)
            yield b"last"

        with pytest.raises(StorageError, match="does not hold the file"):
            marked.put("a/b", unmount())
        assert left_in(root) == []
