"""The command that a backup suggests at its end: it parses, it holds no secret, and it works as it is printed."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actions import runs
from cli.way_back import way_back
from core.compression import Algorithm
from core.errors import RunFailed
from core.jobs import Address, JobSpec, RestoreSpec
from core.manifest import Contents, ManifestFile
from core.reports import BackupReport, StoredCopy
from core.states import RunState
from tests.cli.conftest import Dbackup

NOW, BACKUP = datetime(2026, 11, 25, tzinfo=UTC), "20261125T000000Z-abcdef"


def file_of(database: str, *together: str) -> ManifestFile:
    return ManifestFile(
        name="shop.dump.zst", database="" if together else database, kind="database", dump_format="any",
        compression=Algorithm.ZSTD, size=1, sha256="0" * 64, dump_size=1,
        databases={name: Contents(tables=0, rows={}) for name in together},
    )  # fmt: skip


def suggested(source: str, *files: ManifestFile, at: str = "nas") -> str:
    """What is printed after a backup of this source."""
    report = BackupReport(
        state=RunState.SUCCESS, backup_id=BACKUP, job="shop", folder="shop", started_at=NOW, finished_at=NOW,
        files=files, copies=(StoredCopy(storage="gone", complete=False), StoredCopy(storage=at, complete=True)),
    )  # fmt: skip
    return way_back(report, JobSpec(source=Address(source), destinations=(Address("gone"), Address(at))))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("shop-prod", "shop-prod"),
        ("postgresql://ada:geheim@db.example/shop?sslmode=require", "postgresql://ada@db.example/shop?sslmode=require"),
        (
            "postgresql://ada@db.example/?password=geheim&sslmode=require",
            "postgresql://ada@db.example/?sslmode=require",
        ),
        ("mysql://ada:geheim@db.example:3307", "mysql://ada@db.example:3307"),
        ("mariadb://ada:geheim@db.example/shop", "mariadb://ada@db.example/shop"),
        ("mongodb://ada:geheim@a.example,b.example:27018/shop", "mongodb://ada@a.example,b.example:27018/shop"),
        ("sqlite:///srv/the%20shop.db", "sqlite:///srv/the%20shop.db"),
    ],
)
@pytest.mark.parametrize(
    ("files", "databases"),
    [
        ((file_of("shop"),), ["--as", "shop_restored"]),
        ((file_of("a shop"),), ["--as", "a shop_restored"]),
        ((file_of("shop"), file_of("crm")), ["--database", "shop=shop_restored", "--database", "crm=crm_restored"]),
        ((file_of("", "shop", "crm"),), ["--database", "shop=shop_restored", "--database", "crm=crm_restored"]),
        (tuple(map(file_of, "abcde")), ["--database", "a", "--as", "a_restored"]),
        ((file_of("a=b"), file_of("c")), ["--database", "a=b", "--as", "a=b_restored"]),
        ((file_of("x" * 63),), ["--as", "restored"]),
    ],
)
def test_it_is_of_the_source_s_engine_restores_beside_and_holds_no_secret(
    source: str, target: str, files: tuple[ManifestFile, ...], databases: list[str]
) -> None:
    printed = suggested(source, *files)
    asked = ["--ask-password"] if ":geheim@" in source else []
    assert shlex.split(printed) == [
        "dbackup", "restore", BACKUP, "--at", "nas", "--into", target, *databases, *asked,
    ]  # fmt: skip
    assert "geheim" not in printed


@pytest.mark.parametrize("files", [(file_of("shop"),), (file_of("shop"), file_of("crm")), tuple(map(file_of, "abcde"))])
@pytest.mark.parametrize("source", ["shop-prod", "mongodb://db.example", "sqlite:///srv/shop.db", "mysql://db.example"])
def test_it_parses(
    dbackup: Dbackup, source: str, files: tuple[ManifestFile, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[RestoreSpec] = []

    def restore(_who: object, wish: RestoreSpec) -> None:
        taken.append(wish)
        raise RunFailed("nothing is restored here")

    monkeypatch.setattr(runs, "restore", restore)
    assert dbackup(*shlex.split(suggested(source, *files))[1:]).code == 1
    (wish,) = taken
    assert (wish.backup, wish.storage, wish.target, wish.overwrite) == (BACKUP, "nas", source, False)
    new = set(wish.names.values()) or {wish.rename}
    assert all(str(name).endswith("_restored") for name in new)


def test_for_a_sqlite_file_by_its_path_it_works_as_printed(dbackup: Dbackup, shop: Path, tmp_path: Path) -> None:
    odd = shop.rename(tmp_path / "the shop.db")
    printed = dbackup("backup", odd, "--to", tmp_path / "disk").out.splitlines()[-1].strip()
    answer = dbackup(*shlex.split(printed)[1:], "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["state"] == "SUCCESS"
    with closing(sqlite3.connect(tmp_path / "the shop_restored.db")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)
