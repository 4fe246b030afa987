"""What a killed upload leaves on a server is found when it is a day old, and removed; nothing else ever is."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from adapters.storage import STORAGES
from adapters.storage.s3 import S3, S3Config
from adapters.storage.sftp import SFTP
from adapters.storage.sftp.protocol import Attributes, _Reader
from core import naming
from core.errors import StorageError
from services import janitor
from tests.adapters.storage_contract import content
from tests.disks import read_only, small_disk
from tests.servers.openssh import Account, Server
from tests.servers.s3 import BUCKET, S3Server
from tests.waiting import until

MIB = 1 << 20
PART = 5 * MIB
HOUR = timedelta(hours=1)
FOLDER = naming.backup_folder("shop-01234567", "20260303T050607Z-abcdef")
KEY = f"{FOLDER}/shop.dump"
UPLOAD = f"""
import sys, threading
from adapters.storage import STORAGES

def chunks():
    yield from [bytes(1 << 20)] * 7
    threading.Event().wait()

kind, url = sys.stdin.read().split()
adapter = STORAGES[kind]
adapter(adapter.config_type.from_url(url)).put("{KEY}", chunks())
"""


@dataclass(frozen=True)
class Place:
    """A destination on a real server. ``remains`` says what of unfinished uploads the server itself has."""

    kind: str
    url: str
    remains: Callable[[], list[str]]

    def storage(self) -> Any:
        adapter: Any = STORAGES[self.kind]
        return adapter(adapter.config_type.from_url(self.url))


@pytest.fixture
def root(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


@pytest.fixture
def storage(openssh: Server, root: Path) -> SFTP:
    return openssh.storage(root)


@pytest.fixture(params=["openssh", "swift", "rclone", "moto"])
def place(request: pytest.FixtureRequest, root: Path) -> Place:
    server = request.getfixturevalue(request.param)
    if request.param == "openssh":
        options = f"fingerprint={quote(server.fingerprint())}&private_key_file={server.account.key()}"
        url = f"sftp://{server.account.name}@127.0.0.1:{server.port}{root}?{options}"
        return Place("sftp", url, lambda: [path.name for path in root.glob(".incoming/*")])
    return Place("s3", _own(server, request.param), lambda: server.unfinished(_bucket(request.param)))


def _bucket(name: str) -> str:
    return "leftovers" if name == "moto" else BUCKET


def _own(server: S3Server, name: str) -> str:
    if name == "moto":
        server.client().create_bucket(Bucket=_bucket(name))
    return server.url(secrets.token_hex(8), bucket=_bucket(name), part_size=PART)


def killed_upload(place: Place) -> None:
    """Upload in a program of its own, and kill it when a part has arrived."""
    storage = place.storage()
    program = subprocess.Popen([sys.executable, "-c", UPLOAD], stdin=subprocess.PIPE, text=True)
    try:
        assert program.stdin
        program.stdin.write(f"{place.kind} {place.url}")
        program.stdin.close()
        until(lambda: sum(part.size for part in storage.parts()) >= PART, "a part of the upload to arrive")
    finally:
        program.kill()
        program.wait()


def found(storage: Any, now: datetime | None = None) -> list[str]:
    return [one.key for one in janitor.leftovers(storage, now or datetime.now(UTC), spared=())]


def test_what_a_killed_upload_leaves_is_found_after_a_day_and_removed(place: Place) -> None:
    storage, now = place.storage(), datetime.now(UTC)
    storage.put(f"{FOLDER}/{naming.MANIFEST}", [b"finished"])
    assert list(storage.parts()) == []
    killed_upload(place)
    assert found(storage, now + 23 * HOUR) == []
    [leftover] = janitor.leftovers(storage, now + 25 * HOUR, spared=())
    assert (leftover.what, leftover.size >= PART) == ("a part of an upload", True)
    assert place.remains()
    for _ in range(2):  # what is gone already is no error
        janitor.remove(storage, leftover)
    assert (place.remains(), list(storage.parts())) == ([], [])
    assert content(storage, f"{FOLDER}/{naming.MANIFEST}") == b"finished"


# --- SFTP ---


def left_on(root: Path, *hours: int) -> list[str]:
    """Files of unfinished uploads that were last written to so many hours ago."""
    names = [f"upload-{number:016x}.part" for number in range(len(hours))]
    for name, age in zip(names, hours, strict=True):
        written(root / ".incoming" / name, age)
    return names


def written(path: Path, hours: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * 10)
    moment = (datetime.now(UTC) - hours * HOUR).timestamp()
    os.utime(path, (moment, moment))
    for one in (path, path.parent):
        os.chown(one, path.parent.parent.stat().st_uid, -1)


def clock_of_files(monkeypatch: pytest.MonkeyPatch, shown: Callable[[int], int]) -> None:
    """Have the server show another time of its files than it does, in seconds since 1970."""
    told = _Reader.attributes

    def changed(reader: _Reader) -> Attributes:
        true = told(reader)
        return replace(true, modified=shown(true.modified))

    monkeypatch.setattr(_Reader, "attributes", changed)


def test_only_old_files_of_uploads_are_leftovers(storage: SFTP, root: Path) -> None:
    old, _ = left_on(root, 25, 23)
    written(root / ".incoming" / "something-else", 1000)
    (root / ".incoming" / f"upload-{9:016x}.part").symlink_to("/etc/passwd")
    assert found(storage) == [old]
    for name in ("something-else", "../precious", f"../upload-{1:016x}.part"):
        with pytest.raises(StorageError, match="not the name of an unfinished upload"):
            storage.drop_part(name)


@pytest.mark.parametrize("days", [-3, 3])
def test_age_is_told_by_the_servers_own_clock_however_wrong_it_is(
    storage: SFTP, root: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    old, _ = left_on(root, 25, 23)
    clock_of_files(monkeypatch, lambda moment: moment + days * 24 * 3600)
    assert found(storage) == [old]
    assert len(list((root / ".incoming").iterdir())) == 2, "the file that shows the clock is gone"


def test_a_server_that_tells_no_times_has_no_leftovers(
    storage: SFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_on(root, 25)
    clock_of_files(monkeypatch, lambda _: 0)
    assert len(storage.parts()) == 1
    assert found(storage) == []


def test_leftovers_on_a_disk_that_takes_nothing_more_are_still_found(storage: SFTP, root: Path) -> None:
    [old] = left_on(root, 25)
    with read_only(root):
        assert found(storage) == [old]


def test_a_disk_that_a_leftover_has_filled_has_room_again(openssh: Server, root: Path) -> None:
    with small_disk(root, megabytes=5) as disk:
        [old] = left_on(disk, 25)
        with (disk / ".incoming" / old).open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * MIB)
        written_at = (datetime.now(UTC) - 25 * HOUR).timestamp()
        os.utime(disk / ".incoming" / old, (written_at, written_at))
        disk.chmod(0o777)
        (disk / ".incoming").chmod(0o777)
        storage = openssh.storage(disk)
        [leftover] = janitor.leftovers(storage, datetime.now(UTC), spared=())
        janitor.remove(storage, leftover)
        storage.put("fits", [b"x" * 4 * MIB])


def test_a_folder_of_uploads_that_is_a_link_is_no_way_in(storage: SFTP, root: Path, ssh_account: Account) -> None:
    outside = ssh_account.new_folder()
    [old] = left_on(outside, 25)
    (root / ".incoming").symlink_to(outside / ".incoming")
    for use in (storage.parts, lambda: storage.drop_part(old)):
        with pytest.raises(StorageError, match="is no folder"):
            use()
    assert (outside / ".incoming" / old).exists()


# --- S3 ---


def bucket_on(server: S3Server, prefix: str, **options: Any) -> S3:
    return S3(S3Config.from_url(server.url(prefix, part_size=PART, **options)))


def begin(server: S3Server, key: str, parts: int = 0) -> str:
    """Begin an upload, as any other program may; gives its id."""
    upload = server.client().create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    for number in range(1, parts + 1):
        server.client().upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=b"x" * PART)
    return upload


def test_uploads_of_others_are_neither_seen_nor_aborted(swift: S3Server) -> None:
    prefix = secrets.token_hex(8)
    storage = bucket_on(swift, prefix)
    others = [f"{prefix}/photos/2024/cat.jpg", f"{prefix}-other/{KEY}", f"{prefix}/more/{KEY}"]
    ids = {key: begin(swift, key) for key in others}
    try:
        assert list(storage.parts()) == []
        for name in (f"photos/2024/cat.jpg?uploadId={ids[others[0]]}", KEY, ""):
            with pytest.raises(StorageError, match="not the name of an unfinished upload"):
                storage.drop_part(name)
        assert set(others) <= set(swift.unfinished())
    finally:
        for key, upload in ids.items():
            swift.client().abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)


def test_every_page_of_uploads_and_of_their_parts_is_read(swift: S3Server) -> None:
    prefix = secrets.token_hex(8)
    storage = bucket_on(swift, prefix)
    for _ in range(4):  # of one key: only their ids differ
        begin(swift, f"{prefix}/{KEY}")
    begin(swift, f"{prefix}/{KEY}.zst", parts=2)
    events = storage._bucket.client.meta.events
    pages = []
    for operation, limit in (("ListMultipartUploads", {"MaxUploads": 2}), ("ListParts", {"MaxParts": 1})):
        events.register(f"before-parameter-build.s3.{operation}", lambda params, limit=limit, **_: params.update(limit))
        events.register(f"after-call.s3.{operation}", lambda model, **_: pages.append(model.name))
    parts = storage.parts()
    assert [(part.key.partition("?")[0], part.size) for part in parts] == [(f"{KEY}.zst", 2 * PART), *[(KEY, 0)] * 4]
    assert (pages.count("ListMultipartUploads"), pages.count("ListParts")) == (3, 6)
    for part in parts:
        storage.drop_part(part.key)
    assert list(storage.parts()) == []


def test_an_upload_that_was_begun_long_ago_and_is_still_written_to_is_no_leftover(swift: S3Server) -> None:
    prefix = secrets.token_hex(8)
    storage = bucket_on(swift, prefix)
    uploads = {name: begin(swift, f"{prefix}/{FOLDER}/{name}", parts) for name, parts in (("a.dump", 0), ("b.dump", 1))}

    def long_ago(parsed: dict[str, Any], **_: Any) -> None:
        for upload in parsed.get("Uploads", ()):
            upload["Initiated"] -= 48 * HOUR

    storage._bucket.client.meta.events.register("after-call.s3.ListMultipartUploads", long_ago)
    assert found(storage) == [f"{FOLDER}/a.dump?uploadId={uploads['a.dump']}"]
    for part in storage.parts():
        storage.drop_part(part.key)


def test_an_upload_that_ends_while_it_is_looked_at_is_no_error(swift: S3Server) -> None:
    prefix = secrets.token_hex(8)
    storage = bucket_on(swift, prefix)
    upload = begin(swift, f"{prefix}/{KEY}")

    def abort(**_: Any) -> None:
        swift.client().abort_multipart_upload(Bucket=BUCKET, Key=f"{prefix}/{KEY}", UploadId=upload)

    storage._bucket.client.meta.events.register_first("before-call.s3.ListParts", abort)
    assert list(storage.parts()) == []
