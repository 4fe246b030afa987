"""What an administrator does on the pages, in Chromium, and what becomes of it: every dialog that changes something."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from pydantic import SecretStr

from actions import audit, groups, users
from actions.door import LOCAL_ADMINISTRATOR as ME
from core.permissions import Permission
from core.rights import Grant
from db.audit import Wanted
from services.accounts.users import NewUser
from tests.browser import PATIENCE, looking
from tests.servers.identity import CLIENT, SECRET, Provider
from tests.servers.postgresql import Server
from tests.system import COMMAND, System, report_of, user_of
from tests.waiting import until

NAME, PASSWORD = "walker", "a long walk over every page"
pytestmark = pytest.mark.timeout(600)  # a whole system starts for them, and its runs in processes of their own
RUN = 4 * PATIENCE  # milliseconds for a run, which begins in a process of its own

WANTED = """
profiles: [walk-keys]
sources:
  walk-shop: {{url: "sqlite://{folder}/shop.db"}}
  walk-spare: {{url: "sqlite://{folder}/shop.db"}}
storages:
  walk-disk: {{url: "file://{folder}/disk"}}
  walk-spare: {{url: "file://{folder}/spare"}}
channels:
  walk-ops: {{url: "env:WALK_OPS"}}
  walk-spare: {{url: "env:WALK_OPS"}}
jobs:
  walk-nightly: {{source: walk-shop, destinations: [walk-disk], profile: walk-keys, notify: [walk-ops:overdue]}}
  walk-spare: {{source: walk-shop, destinations: [walk-disk]}}
"""


@pytest.fixture(scope="module")
def walked(shared_system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with something of everything, some of which is needed by a job."""
    folder = tmp_path_factory.mktemp("walk")
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    wanted = folder / "walk.yaml"
    wanted.write_text(WANTED.format(folder=folder))
    environment = {**shared_system.environment, "WALK_OPS": "https://discord.com/api/webhooks/1/token"}
    # By a command: the browser's event loop runs in this thread, where Prefect would take it for its own.
    subprocess.run([COMMAND, "apply", wanted, "--yes"], env=environment, check=True, capture_output=True, timeout=200)
    with user_of(shared_system.home):
        users.create(ME, NewUser(NAME, SecretStr(PASSWORD), groups=("Administrators",)))
        yield shared_system  # the user stays: there is no system without its last administrator
    nothing = folder / "nothing.yaml"
    nothing.write_text("jobs: {}\nsources: {}\nstorages: {}\nchannels: {}\n")
    subprocess.run([COMMAND, "apply", nothing, "--prune", "--yes"], env=environment, check=True, timeout=200)


@pytest.fixture(scope="module")
def page(browser: Browser, walked: System) -> Iterator[Page]:
    """The administrator, who has logged in."""
    expect.set_options(timeout=PATIENCE)
    with looking(browser, root_of(walked)) as opened:
        log_in(opened, NAME, PASSWORD)
        yield opened


def root_of(system: System) -> str:
    return f"http://127.0.0.1:{system.port}"


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/login")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("button")
    page.get_by_test_id("stSidebarNav").wait_for()


def pressed(page: Page, button: str) -> Locator:
    """The dialog that a button of the page opens."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()  # a page in change loses clicks
    return pressed_at_once(page, button)


def pressed_at_once(page: Page, button: str) -> Locator:
    """The same for a page that draws a part of itself anew all the time, and need not be at rest in between."""
    page.get_by_test_id("stMain").get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def sure(page: Page, button: str, answer: str) -> None:
    """Press a button, and confirm what it asks."""
    dialog = pressed(page, button)
    dialog.get_by_role("button", name=answer).click()
    expect(dialog).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "noun"), [("sources", "source"), ("storage", "storage"), ("channels", "notification")]
)
def test_what_a_job_needs_stays_and_what_nobody_needs_is_removed(page: Page, path: str, noun: str) -> None:
    needed = {"sources": "walk-shop", "storage": "walk-disk", "channels": "walk-ops"}[path]
    page.goto(f"/{path}?name={needed}")
    dialog = pressed(page, "Remove")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_text(f"the {noun} {needed} is needed by the jobs: walk-nightly")).to_be_visible()
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_have_count(0)
    page.goto(f"/{path}?name=walk-spare")
    sure(page, "Remove", "Remove")
    expect(page.get_by_role("heading", name="walk-spare")).to_have_count(0)
    page.goto(f"/{path}?name=walk-spare")
    expect(page.get_by_text("in the table to see more of it")).to_be_visible()


def test_a_job_is_deleted_and_leaving_it_is_easy(page: Page) -> None:
    page.goto("/jobs?name=walk-spare")
    dialog = pressed(page, "Delete")
    expect(dialog.get_by_text("Its backups stay where they are")).to_be_visible()
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_have_count(0)
    sure(page, "Delete", "Delete")
    expect(page.get_by_text("The job walk-spare is deleted. Its backups stay.")).to_be_visible()


def test_a_run_is_cancelled_and_nothing_of_it_stays(page: Page, walked: System, postgresql: Server) -> None:
    postgresql.create("shop")
    postgresql.query("CREATE TABLE orders (id int)", "shop")
    done(walked, "source", "add", "walk-stuck", postgresql.url("shop"))
    done(walked, "job", "create", "walk-stuck", "--source", "walk-stuck", "--to", "walk-disk")
    with postgresql.connect("shop", autocommit=False) as blocking:
        blocking.execute("LOCK TABLE orders")
        page.goto("/jobs?name=walk-stuck")
        page.get_by_role("button", name="Run now").click()
        expect(page.get_by_role("heading", name="Backup of walk-stuck")).to_be_visible()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: bool(postgresql.query(waiting)), "the dump to wait for the lock")
        dialog = pressed_at_once(page, "Cancel")
        took = page.get_by_test_id("stMetric").filter(has_text="Took").get_by_test_id("stMetricValue")
        expect(took).not_to_have_text(took.inner_text())  # the page has drawn itself anew behind the dialog
        dialog.get_by_role("button", name="Cancel the run").click()
        expect(page.get_by_test_id("stMetricValue").filter(has_text="CANCELLED")).to_be_visible(timeout=RUN)
        until(lambda: not postgresql.query(waiting), "the dump to have ended")
        blocking.rollback()
    assert report_of(done(walked, "list", "--at", "walk-disk", "--json", "--job", "walk-stuck"))["backups"] == []


def done(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = system.dbackup(*arguments)
    assert command.returncode == 0, command.stderr
    return command


def test_a_user_is_made_logged_out_disabled_and_let_in_again(page: Page, browser: Browser, walked: System) -> None:
    page.goto("/users")
    dialog = pressed(page, "Add a user")
    dialog.get_by_role("textbox", name="Name").fill("walk-grace")
    dialog.get_by_role("textbox", name="Password").fill(PASSWORD)
    choose(page, dialog.get_by_role("combobox", name="Groups"), "Administrators")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="walk-grace")).to_be_visible()
    with looking(browser, root_of(walked)) as theirs:
        log_in(theirs, "walk-grace", PASSWORD)
        page.reload()
        expect(page.get_by_text("Chrome on Linux")).to_be_visible()
        page.get_by_role("button", name="End it").click()
        expect(page.get_by_text("Nowhere.")).to_be_visible()
        theirs.goto("/jobs")
        expect(theirs.get_by_role("button", name="Log in")).to_be_visible()
    sure(page, "Disable", "Disable")
    expect(page.get_by_role("button", name="Let in again")).to_be_visible()
    assert not users.get(ME, "walk-grace").enabled
    sure(page, "Let in again", "Let in")
    expect(page.get_by_role("button", name="Disable")).to_be_visible()
    sure(page, "Delete", "Delete")
    expect(page.get_by_text("Choose a user in the table")).to_be_visible()
    assert not users.page(ME, search="walk-grace")


def choose(page: Page, box: Locator, option: str) -> None:
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")


def test_a_group_gets_the_permissions_and_the_sources_that_are_chosen(page: Page) -> None:
    page.goto("/groups")
    dialog = pressed(page, "Add a group")
    dialog.get_by_role("textbox", name="Name").fill("walk-readers")
    for area, word in (("Backups", "see"), ("Backups", "restore"), ("Sources", "see")):
        pills = dialog.get_by_test_id("stButtonGroup").filter(has_text=re.compile(f"^{area}"))
        pills.get_by_role("button", name=word, exact=True).click()
    dialog.get_by_text("Only some sources").click()
    choose(page, dialog.get_by_role("combobox", name="Sources"), "walk-shop")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="walk-readers")).to_be_visible()
    made = groups.get(ME, "walk-readers")
    chosen = {Permission.BACKUPS_READ, Permission.BACKUPS_RESTORE, Permission.SOURCES_READ}
    assert made.permissions == {Permission.ACCOUNT_OWN, Permission.TOKENS_OWN, *chosen}
    assert made.sources == {"walk-shop"}
    sure(page, "Delete the group", "Delete")
    expect(page.get_by_text("Choose a group in the table")).to_be_visible()
    page.goto("/groups?name=Administrators")
    expect(page.get_by_text("This group cannot be changed or deleted")).to_be_visible()
    expect(page.get_by_role("button", name="Delete the group")).to_have_count(0)


def test_the_audit_is_filtered_and_exported_as_it_is_filtered(page: Page) -> None:
    groups.delete(ME, groups.create(ME, "walk-audited", Grant(frozenset())).name)
    page.goto("/audit")
    asked = page.get_by_role("textbox", name="Action")
    asked.fill("groups.delete")
    asked.press("Enter")
    total = audit.count(ME, Wanted(action="groups.delete"))
    link = page.get_by_role("link", name=f"Export {total} as CSV")
    expect(link).to_be_visible()
    answer = page.request.get(str(link.get_attribute("href")))
    assert answer.ok
    headings, *rows = csv.reader(io.StringIO(answer.text()))
    assert headings[2] == "action"
    assert {row[2] for row in rows} == {"groups.delete"}
    assert "walk-audited" in {row[3] for row in rows}
    asked.fill("nothing.like.this")
    asked.press("Enter")
    expect(page.get_by_text("Nothing of that has happened.")).to_be_visible()


def test_the_settings_change_the_queue_and_examine_everything(page: Page, walked: System) -> None:
    page.goto("/settings")
    number = page.get_by_role("spinbutton", name="Runs at once")
    before = int(number.input_value())
    for wanted in (before + 1, before):
        number.fill(str(wanted))
        page.get_by_role("button", name="Save").click()
        until(lambda: report_of(done(walked, "queue", "--json"))["limit"] == wanted, "the limit to change")  # noqa: B023
    page.get_by_role("button", name="Examine everything").click()
    expect(page.get_by_text("source walk-shop")).to_be_visible()
    expect(page.get_by_text("encryption key")).to_be_visible()


def test_a_provider_is_added_tried_and_removed(page: Page, provider: Provider) -> None:
    page.goto("/single-sign-on")
    dialog = pressed(page, "Add a provider")
    dialog.get_by_role("textbox", name="Name *").fill("walk-corp")
    dialog.get_by_role("textbox", name="Issuer *").fill(provider.issuer)
    dialog.get_by_role("textbox", name="Client ID *").fill(CLIENT)
    dialog.get_by_role("textbox", name="Client secret").fill(SECRET)
    dialog.get_by_role("button", name="Save and test").click()
    expect(page.get_by_text("answers and knows us")).to_be_visible()
    expect(page.get_by_text("/sso/walk-corp/callback")).to_be_visible()
    edit = pressed(page, "Edit")
    assert SECRET not in page.content()
    edit.get_by_role("textbox", name="Client secret").fill("another one")
    edit.get_by_role("button", name="Save and test").click()
    expect(page.get_by_text("refuses the client id or its secret")).to_be_visible()
    sure(page, "Remove", "Remove")
    expect(page.get_by_text("People log in with a name and a password.")).to_be_visible()


def test_checking_is_switched_on_and_off_and_finds_damage(page: Page, walked: System) -> None:
    done(walked, "job", "run", "walk-nightly")
    storages = report_of(done(walked, "storage", "list", "--json"))["storages"]
    disk = next(one for one in storages if one["name"] == "walk-disk")
    damaged = min(Path(disk["description"]).rglob("*.enc"))
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    page.goto("/integrity")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_text("Next on")).to_be_visible()
    page.get_by_role("button", name="Switch it off").click()
    expect(page.get_by_text("Not checked by itself")).to_be_visible()
    page.get_by_role("button", name="Check everything now").click()
    begun = page.get_by_test_id("stMarkdownContainer").filter(has_text="The check that was begun here")
    expect(begun).to_contain_text("FAILED", timeout=RUN)
    page.goto("/integrity")
    failed = page.get_by_test_id("stMetric").filter(has_text="Failed it")
    expect(failed.get_by_test_id("stMetricValue")).not_to_have_text("0")


def test_a_key_is_made_anew_and_the_kit_asks_for_the_password_again(page: Page) -> None:
    page.goto("/vault")
    row = page.get_by_test_id("stVerticalBlock").filter(has_text="walk-keys").last
    row.get_by_role("button", name="New key…").click()
    page.get_by_role("dialog").get_by_role("button", name="Make a new key").click()
    expect(page.get_by_text("Older keys go on opening their backups")).to_be_visible()
    page.goto("/recovery-kit?profile=walk-keys")
    page.fill("#password", "a guess")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_text("the password is wrong")).to_be_visible()
    page.fill("#password", PASSWORD)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as kit:
        assert "keys.json" in kit.namelist()
    told = audit.entries(ME, Wanted(who=NAME, action="keys.revealed_kit"), limit=2)
    assert [(one.target, one.result) for one in told] == [("walk-keys", "done"), ("walk-keys", "failed")]
    assert audit.count(ME, Wanted(who=NAME, action="keys.rotate")) == 1
