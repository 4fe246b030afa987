"""The demonstration holds only when the comparison does, and leaves nothing on a server."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.demo import server as demo
from cli.demo.comparison import compare
from cli.demo.customers import customers
from cli.demo.shop import TABLES, make
from cli.output import Output, WrongUsage
from core.errors import ComparisonFailed, DBackupError
from tests.servers.postgresql import Server
from tests.waiting import until


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as shop:
        return int(shop.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "shop.db"
    make(path)
    return path


@pytest.fixture
def shops(sample: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A shop and its copy."""
    original, copy = tmp_path / "shop.db", tmp_path / "copy.db"
    shutil.copy(sample, original)
    shutil.copy(sample, copy)
    return original, copy


def counted(path: Path) -> dict[str, int]:
    return {table: count(path, table) for table in TABLES}


def test_the_sample_has_some_200_000_rows_and_is_always_the_same(sample: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.db"
    rows = make(again)
    assert 190_000 < rows < 210_000
    assert rows == sum(counted(again).values())
    compare(sample, again, counted(sample))
    compare(again, sample, counted(again))


def test_a_copy_of_an_earlier_moment_is_good_while_customers_go_on(shops: tuple[Path, Path]) -> None:
    original, copy = shops
    before = counted(copy)
    with customers(original):
        until(lambda: count(original, "orders") > before["orders"] + 3, "some orders")
    compared = {one.table: one for one in compare(original, copy, before)}
    assert compared["orders"].now > compared["orders"].restored == before["orders"]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM order_lines WHERE order_id = 77 AND line = 1",
        "DELETE FROM orders WHERE id = 77",
        "UPDATE products SET picture = zeroblob(3) WHERE id = 5",
        "UPDATE customers SET name = name || ' ' WHERE id = 9",
        "INSERT INTO customers VALUES (99999, 'x', 'x', NULL, NULL)",
        "UPDATE orders SET total_cents = total_cents + 1 WHERE id = 3",
        "DROP INDEX orders_of_customer",
    ],
)
def test_any_difference_is_found(shops: tuple[Path, Path], damage: str) -> None:
    original, copy = shops
    expected = counted(original)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(damage)
    with pytest.raises(ComparisonFailed):
        compare(original, copy, expected)


@pytest.mark.parametrize("url", ["postgresql://ada@host", "mysql://host/shop", "shop", "postgresql://[/x", "./shop.db"])
def test_only_one_postgresql_database_can_be_demonstrated(url: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage):
        demo.show(Output(as_json=False), tmp_path, url)


def test_the_name_of_the_copy_is_never_too_long_nor_cut_within_a_character() -> None:
    assert len(demo._new_name("ü" * 40).encode()) <= 63
    assert demo._new_name("shop").startswith("shop_dbackup_demo_")


@pytest.mark.parametrize("error", [None, DBackupError("the restore failed"), KeyboardInterrupt()])
def test_the_copy_on_the_server_is_dropped_however_it_ends(postgresql: Server, error: BaseException | None) -> None:
    try:
        with demo._dropped_afterwards(Output(as_json=False), f"{postgresql.url('postgres')}?client_path=/x", 'a "b'):
            postgresql.create('a "b')
            if error:
                raise error
    except (DBackupError, KeyboardInterrupt) as raised:
        assert raised is error
    assert 'a "b' not in postgresql.names()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a demonstration runs. Removing its home is all it takes to end its embedded server."""
    yield tmp_path / ".demo"
    process = json.loads((tmp_path / ".demo/home/prefect/server.json").read_text())["pid"]
    shutil.rmtree(tmp_path / ".demo")
    until(lambda: not Path(f"/proc/{process}/fd/0").exists(), "the end of the embedded server")


def demonstrate(place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.demo"],
        cwd=place.parent,
        env={**os.environ, "DBACKUP_HOME": "/nowhere", **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_sample_is_backed_up_restored_and_compared_and_the_commands_shown_work(place: Path) -> None:
    done = demonstrate(place)
    assert done.returncode == 0, done.stderr
    assert "backed up, verified, restored, compared" in done.stdout
    shown = [line.strip() for line in done.stdout.splitlines()]
    variable = next(line for line in shown if line.startswith("export DBACKUP_HOME="))
    offered = next(line for line in shown if " restore shop/latest " in line)
    again = subprocess.run(["bash", "-c", f"{variable}; {offered}"], cwd=place.parent, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (place / "again.db").exists()
    assert b"CREATE TABLE orders" not in b"".join(path.read_bytes() for path in place.glob("backups/*/*/*.enc"))


def test_a_real_server_is_demonstrated_and_left_as_it_was(place: Path, postgresql: Server) -> None:
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders AS SELECT generate_series(1, 5000) AS id", "shop")
    done = demonstrate(place, DBACKUP_DEMO_SOURCE=postgresql.url("shop"))
    assert done.returncode == 0, done.stderr
    assert "5,000" in done.stdout
    assert postgresql.password not in done.stdout + done.stderr
    assert [name for name in postgresql.names() if "dbackup_demo" in name] == []
