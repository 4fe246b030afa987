"""Pages as the people before them see them, in Chromium: whoever may do nothing, and whoever is let in no longer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.testing.v1 import AppTest

from actions import sessions, users
from actions.door import LOCAL_ADMINISTRATOR, Identity
from core.permissions import Permission
from dashboard import visitor
from dashboard.components.permissions import AREAS, by_area, words
from dashboard.views import SECTIONS
from tests.browser import PATIENCE, looking
from tests.dashboard.entering import PASSWORD, Site, person

expect.set_options(timeout=PATIENCE)
PATHS = [page.path for pages in SECTIONS.values() for page in pages]


def enter(page: Page, name: str, after: str = "/") -> None:
    page.goto(f"/login?next={after}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with looking(browser, site.root) as opened:
        yield opened


def test_whoever_may_do_nothing_sees_nothing_on_any_page(page: Page) -> None:
    enter(page, person("powerless"))
    for path in PATHS:
        page.goto(f"/{path}")
        expect(page.get_by_role("heading", name="Nothing to see yet")).to_be_visible()
        expect(page.get_by_test_id("stDataFrame")).to_have_count(0)


def test_a_page_that_is_open_when_its_session_ends_shows_the_way_to_the_login_and_nothing_else(page: Page) -> None:
    enter(page, "root", "/users")
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    users.end_sessions(LOCAL_ADMINISTRATOR, "root")
    page.get_by_role("link", name="Groups").click()
    expect(page.get_by_role("link", name="Log in again")).to_be_visible()
    expect(page.get_by_role("heading", name="Groups")).to_have_count(0)


def test_a_second_factor_is_set_up_and_asked_for_at_the_next_login(page: Page) -> None:
    name = person("cautious", Permission.ACCOUNT_OWN)
    enter(page, name, "/account")
    page.get_by_role("button", name="Set it up").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img").first).to_be_visible()
    secret = dialog.get_by_text(re.compile(r"^([A-Z2-7]{4} ){7}[A-Z2-7]{4}$")).first.inner_text()
    dialog.get_by_label("six digits").fill(pyotp.TOTP(secret.replace(" ", "")).now())
    dialog.get_by_role("button", name="Turn it on").click()
    code = r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}"
    codes = re.findall(code, dialog.get_by_test_id("stCode").filter(has_text=re.compile(code)).inner_text())
    assert len(codes) == 10
    recovery = codes[0]
    dialog.get_by_role("button", name="I have kept them").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("asks for a code")).to_be_visible()
    assert recovery not in page.content()
    page.goto("/logout")
    enter(page, name)
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text(name).first).to_be_visible()


def _drawn_by_itself() -> None:
    import streamlit as st

    from dashboard import visitor as looking_on
    from dashboard.components.live import live

    live(lambda who: st.markdown(who.name), looking_on.current(), every=3600)


def test_a_part_that_draws_itself_anew_does_not_use_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(visitor, "current", lambda: Identity("ada"))
    monkeypatch.setattr(sessions, "used", used.append)
    app = AppTest.from_function(_drawn_by_itself).run()
    assert [one.value for one in app.markdown] == ["ada"]
    assert used == []
    visitor.required()
    assert len(used) == 1


def test_every_permission_can_be_chosen_and_has_its_words() -> None:
    offered = [one for some in by_area(Permission).values() for one in some]
    assert sorted(offered) == sorted(Permission)
    for title, some in by_area(Permission).items():
        assert title in AREAS.values()
        assert len({words(one) for one in some}) == len(some)
