"""Taking a backup's files away: the right bytes, for those who may, and never a part that looks like the whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from actions import keys, runs, saved, sessions
from actions.door import LOCAL_ADMINISTRATOR, Identity
from actions.downloads import Choice
from core.errors import AuthenticationError, ChecksumMismatch
from core.jobs import Address, JobSpec
from core.permissions import Permission
from core.reports import BackupReport
from core.streams import Chunk
from dashboard import downloads
from dashboard.downloads import Drawn, link
from db.audit import Wanted
from services.records import audit
from services.takeaway import Form

ROWS = 3000
SECOND = b"second"


@dataclass(frozen=True)
class Shelf:
    """A storage with a sealed backup and one that is not, of one source."""

    folder: Path
    sealed: BackupReport
    plain: BackupReport

    def stored(self, report: BackupReport) -> Path:
        """The backup's one file, where it lies."""
        return self.folder / report.folder / report.files[0].name


@pytest.fixture(scope="module")
def shelf(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("downloads")
    with closing(sqlite3.connect(folder / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        shop.executemany("INSERT INTO orders (what) VALUES (?)", [(f"order {one}",) for one in range(ROWS)])
    saved.add_source(LOCAL_ADMINISTRATOR, "taken-shop", f"sqlite://{folder}/shop.db")
    saved.add_storage(LOCAL_ADMINISTRATOR, "taken-disk", f"file://{folder}/disk")
    keys.create(LOCAL_ADMINISTRATOR, "taken")

    def backed_up(name: str, profile: str | None) -> BackupReport:
        where = (Address("taken-disk"),)
        spec = JobSpec(name=name, source=Address("taken-shop"), destinations=where, profile=profile)
        return runs.back_up(LOCAL_ADMINISTRATOR, spec)

    yield Shelf(folder / "disk", backed_up("taken-sealed", "taken"), backed_up("taken-plain", None))
    saved.remove_source(LOCAL_ADMINISTRATOR, "taken-shop")
    saved.remove_storage(LOCAL_ADMINISTRATOR, "taken-disk")


@pytest.fixture
def visitor() -> list[Identity]:
    """Who is at the browser; a test may put somebody else there, or nobody."""
    return [Identity("ada", frozenset({Permission.BACKUPS_DOWNLOAD}))]


@pytest.fixture
def browser_of(visitor: list[Identity], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    def identify(token: str, address: str) -> Identity:
        if not visitor:
            raise AuthenticationError("the session has ended")
        return visitor[0]

    monkeypatch.setattr(sessions, "identify", identify)
    return TestClient(Starlette(routes=list(downloads.ROUTES)))


def asked(report: BackupReport, form: Form, **changes: str) -> str:
    """The address of a backup's one file."""
    values = {"backup": report.backup_id, "storage": "taken-disk", "file": report.files[0].name, **changes}
    return link(Choice(values["backup"], Address(values["storage"]), values["file"], form))


@pytest.mark.parametrize("which", ["sealed", "plain"])
def test_a_plain_dump_is_what_the_database_was(
    shelf: Shelf, browser_of: TestClient, tmp_path: Path, which: str
) -> None:
    report: BackupReport = getattr(shelf, which)
    answer = browser_of.get(asked(report, Form.PLAIN))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'{report.backup_id}-shop.db"')
    assert int(answer.headers["content-length"]) == len(answer.content) == report.dump_size
    (tmp_path / "shop.db").write_bytes(answer.content)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        assert shop.execute("SELECT count(*) FROM orders").fetchone() == (ROWS,)


def test_a_stored_file_is_given_as_it_lies_there(shelf: Shelf, browser_of: TestClient) -> None:
    answer = browser_of.get(asked(shelf.sealed, Form.STORED))
    assert answer.content == shelf.stored(shelf.sealed).read_bytes()
    manifest = browser_of.get(link(Choice(shelf.sealed.backup_id, Address("taken-disk"))))
    assert manifest.json()["backup_id"] == shelf.sealed.backup_id


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../../../etc/passwd"},
        {"file": "/etc/passwd"},
        {"file": "backup.lock"},
        {"file": ""},
        {"file": "globals.sql.zst"},
        {"storage": "file:///etc"},
        {"storage": "../home"},
        {"backup": "../taken-plain"},
        {"backup": "20200101T000000Z-000000"},
    ],
)
def test_nothing_but_what_a_manifest_lists_can_be_reached(
    shelf: Shelf, browser_of: TestClient, changes: dict[str, str]
) -> None:
    answer = browser_of.get(asked(shelf.sealed, Form.STORED, **changes))
    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (None, 401),
        (Identity("eve", frozenset(Permission) - {Permission.BACKUPS_DOWNLOAD}), 403),
        (
            Identity(
                "bob",
                frozenset({Permission.BACKUPS_DOWNLOAD}),
                {Permission.BACKUPS_DOWNLOAD: frozenset({"another-source"})},
            ),
            403,
        ),
    ],
)
def test_nobody_else_gets_a_file(
    shelf: Shelf, browser_of: TestClient, visitor: list[Identity], who: Identity | None, status: int
) -> None:
    visitor[:] = [who] if who else []
    for form in Form:
        assert browser_of.get(asked(shelf.plain, form)).status_code == status


def test_another_site_cannot_begin_a_download(shelf: Shelf, browser_of: TestClient) -> None:
    address = asked(shelf.plain, Form.STORED)
    assert browser_of.get(address, headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_every_download_is_written_down(shelf: Shelf, browser_of: TestClient, visitor: list[Identity]) -> None:
    browser_of.get(asked(shelf.sealed, Form.PLAIN))
    visitor[:] = [Identity("eve")]
    browser_of.get(asked(shelf.sealed, Form.PLAIN))
    refused, done = audit().entries(Wanted(action="downloads.download"), limit=2)
    target = f"shop.db.zst.enc of {shelf.sealed.backup_id} on taken-disk, plain"
    assert (done.who, done.target, done.result) == ("ada", target, "done")
    assert (refused.who, refused.target, refused.result) == ("eve", target, "refused")


@pytest.fixture
def damaged(shelf: Shelf) -> Iterator[Path]:
    """The file of the backup that is not encrypted, with its last byte flipped."""
    path = shelf.stored(shelf.plain)
    before = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    yield path
    path.write_bytes(before)


def test_a_damaged_file_never_ends_as_if_it_were_whole(damaged: Path, shelf: Shelf, browser_of: TestClient) -> None:
    with pytest.raises(ChecksumMismatch):
        browser_of.get(asked(shelf.plain, Form.STORED))


def test_bytes_are_kept_although_their_buffer_is_used_again() -> None:
    def chunks() -> Iterator[Chunk]:
        buffer = bytearray(b"first!")
        yield memoryview(buffer)
        buffer[:] = SECOND
        yield memoryview(buffer)

    drawn = Drawn(chunks())
    assert [drawn.next(), drawn.next(), drawn.next()] == [b"first!", SECOND, None]


def test_no_more_than_one_chunk_is_drawn_ahead_and_leaving_ends_the_reading() -> None:
    told: list[str] = []

    def chunks() -> Iterator[Chunk]:
        try:
            for number in range(1000):
                told.append(f"drawn {number}")
                yield b"x"
        finally:
            told.append("ended")

    drawn = Drawn(chunks())
    drawn.next()
    drawn.next()
    drawn.close()
    assert told == ["drawn 0", "drawn 1", "ended"]
