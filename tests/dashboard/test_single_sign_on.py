"""A login through a provider, from the button to the page that was wanted; and every way in which it has to fail."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from actions import groups, saved, sessions, users
from actions.door import LOCAL_ADMINISTRATOR, Identity
from actions.saved import NewProvider
from core.errors import AuthenticationError, ConfigurationError, PermissionError, TooManyAttempts
from core.permissions import Permission
from core.rights import Grant
from dashboard.single_sign_on import TICKET
from services.accounts.sessions import Client
from services.accounts.users import NewUser
from services.records import audit
from tests.browser import PATIENCE, looking
from tests.servers.identity import CLIENT, PEOPLE, SECRET, SLUG, Liar, Provider, certified
from tests.servers.processes import free_port, started

AUDITOR = "ada"
PASSWORD = SecretStr("correct horse battery staple")


@dataclass(frozen=True)
class Corp:
    """The dashboard, as an operator starts it, and a certified provider on Authentik's paths that it knows."""

    root: str
    provider: Provider


def add(name: str, url: str, **facts: Any) -> None:
    facts = {"client_id": CLIENT, "client_secret": SECRET, **facts}
    saved.add_provider(LOCAL_ADMINISTRATOR, name, NewProvider(url, facts))


@contextmanager
def known(name: str, url: str, **facts: Any) -> Iterator[None]:
    """A provider that is saved for a while."""
    add(name, url, **facts)
    try:
        yield
    finally:
        saved.remove_provider(LOCAL_ADMINISTRATOR, name)


@pytest.fixture(scope="module")
def corp(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corp]:
    """With users made in the group sso-readers, and sso-operators for its group dba."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    for name, permission in (("sso-readers", Permission.BACKUPS_READ), ("sso-operators", Permission.JOBS_READ)):
        groups.create(LOCAL_ADMINISTRATOR, name, Grant(frozenset({permission})))
    users.create(LOCAL_ADMINISTRATOR, NewUser("sso-admin", PASSWORD, "ada@example.org", ("Administrators",)))
    folder = tmp_path_factory.mktemp("corp")
    environment = {**os.environ, "DBACKUP_WEB_PORT": str(port)}

    def ready() -> bool:
        try:
            return httpx.get(f"{root}/login", timeout=30).is_success
        except httpx.TransportError:
            return False

    callbacks = [f"{root}/sso/corp/callback"]
    with (
        certified(folder, callbacks, authentik=True, logout=f"{root}/login") as provider,
        started([sys.executable, "-m", "dashboard"], ready, folder / "web.log", env=environment),
    ):
        issuer = urlsplit(provider.issuer)
        url = f"authentik+{issuer.scheme}://{issuer.netloc}/{SLUG}"
        policy = {"provision": True, "default_group": "sso-readers", "mapping": "dba=sso-operators"}
        with known("corp", url, caption="Corp", **policy):
            yield Corp(root, provider)


@pytest.fixture
def browser_like(corp: Corp) -> Iterator[httpx.Client]:
    """Something that keeps cookies, and goes nowhere by itself."""
    with httpx.Client(base_url=corp.root, timeout=30, headers={"Accept": "text/html"}) as client:
        yield client


def departed(client: httpx.Client, corp: Corp, login: str, after: str = "/jobs") -> dict[str, str]:
    """Begin, log in at the provider as somebody, and give what comes back."""
    answer = client.get("/sso/corp", params={"next": after})
    assert answer.status_code == 303, answer.text
    return corp.provider.answers_to(answer.headers["location"], login)


def arrived(client: httpx.Client, answer: dict[str, str], provider: str = "corp") -> httpx.Response:
    return client.get(f"/sso/{provider}/callback", params=answer)


def problem(page: httpx.Response) -> str:
    """What a page says is wrong. It is a page of ours, with a way to try again."""
    assert "Traceback" not in page.text
    assert 'action="/login"' in page.text
    found = re.search(r'role="alert"><strong>(.*?)</strong>', page.text)
    assert found, page.text
    return found[1]


def who(client: httpx.Client) -> Identity | None:
    token = client.cookies.get("dbackup_session")
    return sessions.identify(token, "") if token else None


def test_somebody_new_logs_in_and_gets_the_groups_that_follow(corp: Corp, browser_like: httpx.Client) -> None:
    answer = departed(browser_like, corp, "grace")
    back = arrived(browser_like, answer)
    assert (back.status_code, back.headers["location"]) == (303, "/jobs")
    identity = who(browser_like)
    assert identity
    assert identity.name == "grace"
    assert identity.permissions == {Permission.BACKUPS_READ, Permission.JOBS_READ}
    assert TICKET not in browser_like.cookies
    assert not users.get(LOCAL_ADMINISTRATOR, "grace").has_password


def test_the_cookies_of_a_login_are_for_this_browser_alone(corp: Corp, browser_like: httpx.Client) -> None:
    begun = browser_like.get("/sso/corp")
    cookie = begun.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/sso"))
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    for secret in (asked["state"][0], asked["nonce"][0]):
        assert secret not in cookie


def test_an_address_that_is_not_verified_opens_nobodys_account(corp: Corp, browser_like: httpx.Client) -> None:
    assert PEOPLE["mallory"]["email"] == users.get(LOCAL_ADMINISTRATOR, "sso-admin").email
    arrived(browser_like, departed(browser_like, corp, "mallory"))
    identity = who(browser_like)
    assert identity
    assert identity.name == "mallory"
    assert not identity.administrator
    assert users.get(LOCAL_ADMINISTRATOR, "mallory").email is None


def test_an_answer_opens_nothing_in_another_browser(corp: Corp, browser_like: httpx.Client) -> None:
    answer = departed(browser_like, corp, "grace")
    with httpx.Client(base_url=corp.root, timeout=30) as other:
        assert "not begun in this browser" in problem(arrived(other, answer))
        departed(other, corp, "mallory")
        assert "another login" in problem(arrived(other, answer))
        assert who(other) is None
    assert arrived(browser_like, answer).status_code == 303


def test_an_answer_opens_once(corp: Corp, browser_like: httpx.Client) -> None:
    answer = departed(browser_like, corp, "grace")
    ticket = browser_like.cookies[TICKET]
    assert arrived(browser_like, answer).status_code == 303
    browser_like.cookies.clear()
    assert "not begun in this browser" in problem(arrived(browser_like, answer))
    browser_like.cookies.set(TICKET, ticket)
    assert "gave no token for the code" in problem(arrived(browser_like, answer))
    assert who(browser_like) is None


def test_a_ticket_that_was_changed_or_is_for_another_provider_opens_nothing(
    corp: Corp, browser_like: httpx.Client
) -> None:
    answer = departed(browser_like, corp, "grace")
    ticket = browser_like.cookies[TICKET]
    with known("corp-two", corp.provider.issuer):
        assert "not begun" in problem(arrived(browser_like, answer, "corp-two"))
    for wrong in ("", "x", ticket[:-4], ticket.replace("e", "f", 1), "%00"):
        browser_like.cookies.clear()
        browser_like.cookies.set(TICKET, wrong)
        assert "not begun" in problem(arrived(browser_like, answer))


@pytest.mark.parametrize(
    "answer", [{}, {"state": "x"}, {"code": "x"}, {"error": "<script>"}, {"state": "x" * 9000, "code": "\x00"}]
)
def test_an_answer_that_makes_no_sense_is_a_page_with_a_sentence(
    browser_like: httpx.Client, answer: dict[str, str]
) -> None:
    browser_like.get("/sso/corp")
    page = arrived(browser_like, answer)
    assert "another login" in problem(page)
    assert "<script>" not in page.text


@pytest.mark.parametrize("after", ["https://evil.example", "//evil.example", "/\\evil.example", "/sso/corp", "/logout"])
def test_nobody_is_sent_to_another_site_afterwards(corp: Corp, browser_like: httpx.Client, after: str) -> None:
    back = arrived(browser_like, departed(browser_like, corp, "grace", after))
    assert back.headers["location"] == "/"


@pytest.mark.parametrize("path", ["/sso/nobody", "/sso/nobody/callback", "/sso/corp/callback"])
def test_a_provider_that_is_not_there_is_a_sentence_that_names_no_other(browser_like: httpx.Client, path: str) -> None:
    page = browser_like.get(path)
    assert page.status_code == 401
    assert "dbackup sso" not in page.text
    assert problem(page)


def test_a_provider_that_hangs_or_lies_is_a_sentence_with_a_number(browser_like: httpx.Client, liar: Liar) -> None:
    with known("liar", f"{liar.issuer}?timeout=1"):
        liar.hanging.add("/.well-known/openid-configuration")
        assert "did not answer within 1 seconds" in problem(browser_like.get("/sso/liar"))
        liar.let_go.set()
        liar.hanging.clear()
        begun = browser_like.get("/sso/liar")
        state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        liar.nonce = "wrong"
        assert "belongs to another login" in problem(arrived(browser_like, {"state": state, "code": "c"}, "liar"))


def test_providers_come_and_go_while_it_runs_and_several_stand_side_by_side(
    browser_like: httpx.Client, liar: Liar
) -> None:
    with known("second", liar.issuer, caption="<b>Second</b>"):
        page = browser_like.get("/login?next=/jobs").text
        assert 'href="/sso/corp?next=/jobs"' in page
        assert "Log in with Corp" in page
        assert "Log in with &lt;b&gt;Second&lt;/b&gt;" in page
    assert "/sso/second" not in browser_like.get("/login").text


def test_without_provisioning_only_a_verified_address_of_a_user_opens(browser_like: httpx.Client, liar: Liar) -> None:
    def enter(**claims: Any) -> httpx.Response:
        begun = browser_like.get("/sso/closed")
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        liar.nonce, liar.claims = asked["nonce"][0], claims
        return arrived(browser_like, {"state": asked["state"][0], "code": "c"}, "closed")

    with known("closed", liar.issuer):
        assert "may not log in here" in problem(enter(sub="stranger"))
        assert "may not log in here" in problem(enter(sub="liar", email="ada@example.org"))
        assert enter(sub="really-ada", email="Ada@example.org", email_verified=True).status_code == 303
    identity = who(browser_like)
    assert identity
    assert identity.name == "sso-admin"


def test_what_happens_is_written_down(corp: Corp, browser_like: httpx.Client) -> None:
    from db.audit import Wanted

    arrived(browser_like, departed(browser_like, corp, "grace"))
    browser_like.get("/sso/corp")
    arrived(browser_like, {"state": "x"})
    newest = audit().entries(Wanted(action="single_sign_on"), limit=2)
    assert [(one.who, one.target, one.result) for one in newest] == [
        ("(unknown)", "corp", "refused"),
        ("grace", "corp", "done"),
    ]


def failed_from(address: str, ticket: str) -> bool:
    """Whether a failed login from there was looked at, or came too early."""
    try:
        sessions.finish_single_sign_on("corp", ticket, {}, Client(address))
    except TooManyAttempts as early:
        assert early.retry_after >= 1
        return False
    except AuthenticationError:
        return True
    pytest.fail("nobody was to be let in")


def test_failed_logins_from_one_address_are_made_slow_and_written_down(corp: Corp) -> None:
    from db.audit import Wanted

    looked_at = sum(takewhile(bool, (failed_from("203.0.113.7", "x") for _ in range(100))))
    assert 20 <= looked_at < 100
    newest = audit().entries(Wanted(action="single_sign_on"), limit=20)
    assert {(one.target, one.origin, one.result) for one in newest} == {("corp", "203.0.113.7", "refused")}
    assert failed_from("203.0.113.8", "x"), "others are not kept waiting"
    assert not failed_from("203.0.113.7", "x")


def test_what_another_site_can_make_a_browser_do_keeps_nobody_outside(corp: Corp) -> None:
    assert all(failed_from("203.0.113.9", "") for _ in range(30))


def test_who_logs_out_is_led_to_the_providers_logout(corp: Corp, browser_like: httpx.Client) -> None:
    arrived(browser_like, departed(browser_like, corp, "grace"))
    token = browser_like.cookies["dbackup_session"]
    page = browser_like.post("/logout", headers={"Origin": corp.root})
    assert f"{corp.provider.issuer}end-session/" in page.text
    assert "dbackup_session" not in browser_like.cookies
    assert httpx.get(f"{corp.root}/jobs", cookies={"dbackup_session": token}).status_code == 401


def test_who_logged_in_with_a_password_is_logged_out_here_alone(corp: Corp, browser_like: httpx.Client) -> None:
    opened = sessions.log_in("sso-admin", PASSWORD, Client())
    browser_like.cookies.set("dbackup_session", opened.token)
    assert browser_like.post("/logout", headers={"Origin": corp.root}).headers["location"] == "/login"


# --- who may say who vouches for everybody ---


def test_only_an_administrator_adds_a_provider(home: Path) -> None:
    somebody = Identity("eve", frozenset(Permission))
    with pytest.raises(PermissionError, match="vouches"):
        saved.add_provider(somebody, "evil", NewProvider("https://evil.example", {"client_id": "x"}))
    assert "evil" not in [one.name for one in saved.providers(somebody)]


@pytest.mark.parametrize("facts", [{"default_group": "Administrators"}, {"mapping": "x=administrators"}])
def test_no_provider_gives_what_is_not_its_own(home: Path, facts: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="administrators"):
        add("too-much", "https://id.example.org", **facts)


def test_a_secret_of_a_provider_reaches_prefect_sealed(corp: Corp) -> None:
    from blocks.saved import load_provider

    block = load_provider("corp")
    assert block.client_secret
    assert SECRET not in block.client_secret.get_secret_value() + repr(block)
    assert block.opened()["client_secret"] == SECRET


# --- as a person sees it ---


def test_a_person_logs_in_through_the_provider_and_out_again(corp: Corp, browser: Browser) -> None:
    with looking(browser, corp.root) as page:
        page.goto("/jobs")
        page.get_by_role("link", name="Log in with Corp").click()
        page.fill("[name=login]", "grace")
        page.fill("[name=password]", "any")
        page.get_by_role("button", name="Sign-in").click()
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(f"{corp.root}/jobs")
        expect(page.get_by_text("grace").first).to_be_visible(timeout=PATIENCE)
        page.goto("/logout")
        page.wait_for_url(f"{corp.provider.issuer}end-session/**")
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url(f"{corp.root}/login**")
        page.goto("/jobs")
        expect(page.get_by_role("link", name="Log in with Corp")).to_be_visible(timeout=PATIENCE)
