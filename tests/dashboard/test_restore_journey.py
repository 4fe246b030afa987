"""A table is gone. Whoever may restore just this source restores it beside, sees it compared, and puts it in place."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from actions import groups, users
from actions.door import LOCAL_ADMINISTRATOR
from core.permissions import Permission
from core.rights import Grant
from services.accounts.users import NewUser
from tests.browser import PATIENCE, looking
from tests.servers.postgresql import Server
from tests.system import System, report_of

NAME, PASSWORD = "grace", "a long and lonely night shift"
GROUP, MAY = "restorers", frozenset({Permission.BACKUPS_READ, Permission.BACKUPS_RESTORE})
ROWS = 500

expect.set_options(timeout=2 * PATIENCE)  # a run begins in a process of its own


@pytest.fixture
def shop(postgresql: Server) -> Server:
    """A server with a shop."""
    postgresql.create("shop")
    with postgresql.connect("shop") as connection:
        connection.execute("CREATE TABLE customers (id int PRIMARY KEY, name text)")
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace')")
        connection.execute(f"INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, {ROWS}) n")
    return postgresql


@pytest.fixture
def backed_up(system: System, shop: Server, tmp_path: Path) -> Iterator[str]:
    """The id of a backup of the shop, whose orders are gone since."""
    groups.create(LOCAL_ADMINISTRATOR, GROUP, Grant(MAY, frozenset({"lost-shop"})))
    users.create(LOCAL_ADMINISTRATOR, NewUser(NAME, SecretStr(PASSWORD), groups=(GROUP,)))
    # By commands: the browser's event loop runs in this thread, where Prefect would take it for its own.
    done(system.dbackup("source", "add", "lost-shop", shop.url("shop")))
    done(system.dbackup("storage", "add", "lost-disk", tmp_path / "disk"))
    report = report_of(done(system.dbackup("backup", "lost-shop", "--to", "lost-disk", "--json")))
    shop.query("DROP TABLE orders", "shop")
    yield report["backup_id"]
    done(system.dbackup("source", "remove", "lost-shop"))
    done(system.dbackup("storage", "remove", "lost-disk"))
    users.delete(LOCAL_ADMINISTRATOR, NAME)
    groups.delete(LOCAL_ADMINISTRATOR, GROUP)


def done(command: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert command.returncode == 0, command.stderr
    return command


def log_in(page: Page) -> None:
    page.goto("/login")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.click("button")
    page.get_by_role("heading", name="Is everything safe?").wait_for()


def begun(page: Page, button: str) -> str:
    """Click it, and give the address of the run that it begins."""
    page.get_by_role("button", name=button).click()
    page.wait_for_url(re.compile(r"/restore\?run="))
    return page.url


def see_that_it_came_back(page: Page) -> None:
    expect(page.get_by_role("heading", name="What came back")).to_be_visible()
    told = page.get_by_text(f"2 tables, {ROWS + 2} rows: as many as the backup's manifest says")
    expect(told).to_be_visible()
    expect(page.get_by_text(re.compile("SUCCESS .*backup"))).to_be_visible()


@pytest.mark.timeout(600)  # a whole system starts for it, and seven programs besides
def test_a_dropped_table_is_restored_beside_and_then_in_place(
    browser: Browser, system: System, shop: Server, backed_up: str
) -> None:
    root = f"http://127.0.0.1:{system.port}"
    with looking(browser, root) as page:
        log_in(page)
        page.goto(f"/backups?backup={backed_up}")
        page.get_by_role("button", name="Restore…").click()

        page.get_by_role("button", name="See what would happen").click()
        sentence = f"shop (2 tables, {ROWS + 2} rows) is restored as shop_restored, which does not exist yet."
        expect(page.get_by_text(sentence)).to_be_visible()
        assert "shop_restored" not in shop.names(), "looking changes nothing"
        address = begun(page, "Restore now")

    # The browser is closed: the restore goes on all the same.
    with looking(browser, root) as page:
        log_in(page)
        page.goto(address)
        see_that_it_came_back(page)
        assert shop.query("SELECT count(*) FROM orders", "shop_restored") == [(ROWS,)]
        assert shop.query("SELECT to_regclass('orders')", "shop") == [(None,)], "the shop itself is as it was"

        page.goto(f"/restore?backup={backed_up}")
        name = page.get_by_role("textbox", name="Restore shop as")
        name.fill("shop")
        name.press("Enter")
        page.get_by_role("button", name="See what would happen").click()
        expect(page.get_by_text(re.compile("is restored beside shop, compared with the backup"))).to_be_visible()
        expect(page.get_by_role("button", name="Overwrite")).to_have_count(0)
        typed = page.get_by_role("textbox", name="Type shop to say that it may be overwritten")
        typed.fill("shop")
        typed.press("Enter")
        page.goto(begun(page, "Overwrite"))
        see_that_it_came_back(page)
    assert shop.query("SELECT count(*) FROM orders", "shop") == [(ROWS,)]
