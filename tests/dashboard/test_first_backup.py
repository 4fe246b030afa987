"""The way of somebody new, in a browser: from the link of the first administrator to the first proven backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PATIENCE, looking
from tests.system import System, invitation, system_up

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def new_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system in a home where nothing was ever saved."""
    with system_up(tmp_path_factory.mktemp("first") / "home") as system:
        yield system


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database that somebody wants to back up."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
        connection.executemany("INSERT INTO orders (item) VALUES (?)", [("tea",)] * 500)
    return path


def test_somebody_new_comes_from_the_first_start_to_a_proven_backup(
    browser: Browser, new_system: System, shop: Path, tmp_path: Path
) -> None:
    with looking(browser, f"http://127.0.0.1:{new_system.port}") as page:
        expect.set_options(timeout=PATIENCE)
        _become_administrator(page, invitation(new_system))
        page.get_by_role("link", name="1. Say where the database is").click()
        _add(page, "source", "shop-prod", "SQLite", shop)
        expect(page.get_by_text("to be dumped by")).to_be_visible()
        page.get_by_role("link", name="Storage", exact=True).click()
        _add(page, "storage", "attic", "Local folder", tmp_path / "attic")
        expect(page.get_by_text("A small file was written, read and deleted")).to_be_visible()
        page.get_by_role("link", name="Jobs", exact=True).click()
        _create_a_job(page)
        page.get_by_role("button", name="Run now").click()
        expect(page.get_by_role("heading", name="Backup of nightly-shop")).to_be_visible()
        expect(page.get_by_text("✓ SUCCESS").first).to_be_visible(timeout=2 * PATIENCE)
        page.get_by_role("link", name="Home", exact=True).click()
        expect(page.get_by_text("1 of 1", exact=True)).to_be_visible()
    verified = new_system.dbackup("verify", "nightly-shop/latest", "--at", "attic")
    assert verified.returncode == 0, verified.stderr


def _become_administrator(page: Page, link: str) -> None:
    page.goto(link)
    page.fill("#name", "ada")
    page.fill("#password", PASSWORD)
    page.click("button")
    expect(page.get_by_text("Three steps to the first backup")).to_be_visible()


def _add(page: Page, noun: str, name: str, kind: str, path: Path) -> None:
    page.get_by_role("button", name=f"Add a {noun}").first.click()
    dialog = page.get_by_role("dialog")
    choice = dialog.get_by_role("combobox", name="Kind")
    choice.click()
    choice.fill(kind)
    page.get_by_role("option", name=kind, exact=True).click()
    dialog.get_by_role("textbox", name="Path *").fill(str(path))
    dialog.get_by_role("textbox", name="Name *").fill(name)
    dialog.get_by_role("button", name="Save and test").click()
    expect(dialog).to_have_count(0)


def _create_a_job(page: Page) -> None:
    page.get_by_role("button", name="Create a job").click()
    page.get_by_role("textbox", name="Name *").fill("nightly-shop")
    page.get_by_role("radio", name="Daily").click()
    expect(page.get_by_text("The next times:")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The job nightly-shop is saved.")).to_be_visible()
