"""The way in over real HTTP, as whoever wants to get in by it without being somebody would try it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pyotp
import pytest
from pydantic import SecretStr

from actions import account, sessions
from core.permissions import Permission
from dashboard.entrance import SECOND
from dashboard.guard import COOKIE
from services.accounts import lockout
from services.accounts.sessions import Client
from services.records import database
from tests.dashboard.entering import PASSWORD, Site, log_in, person


@pytest.fixture(scope="module")
def inside(site: Site) -> httpx.Client:
    return site.inside("root")


def _set_cookie(answer: httpx.Response, name: str) -> str:
    return next(one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{name}="))


def test_a_session_that_somebody_planted_is_not_taken_over(site: Site) -> None:
    client = site.client()
    client.cookies.set(COOKIE, "planted-by-somebody-else")
    answer = log_in(client, "root")
    assert "planted" not in _set_cookie(answer, COOKIE)
    thief = site.client(cookie=f"{COOKIE}=planted-by-somebody-else")
    assert thief.get("/").headers["location"] == "/login"


def test_each_login_begins_another_session(site: Site) -> None:
    client = site.inside("root")
    first = client.cookies[COOKIE]
    log_in(client, "root")
    assert client.cookies[COOKIE] != first


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_no_script_and_no_other_site_gets_the_cookie(site: Site, scheme: str, secure: bool) -> None:
    """Behind a proxy that ends TLS, the cookie never travels in clear."""
    host = urlsplit(site.root).netloc
    with site.client(**{"x-forwarded-proto": scheme, "origin": f"{scheme}://{host}"}) as client:
        cookie = _set_cookie(log_in(client, "root"), COOKIE).lower()
    flags = {part.strip() for part in cookie.split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert ("secure" in flags) is secure


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "javascript:alert(1)", "evil.example", "/login", "/logout", "/ok\r\nSet-Cookie: a=b", "",
    ],
)  # fmt: skip
def test_a_link_to_the_login_leads_to_no_other_site(site: Site, place: str) -> None:
    answer = log_in(site.client(), "root", next=place)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_who_was_sent_to_the_login_comes_to_the_page_they_wanted(site: Site) -> None:
    client = site.client()
    asked = client.get("/users?name=ada")
    assert asked.headers["location"] == "/login?next=/users%3Fname%3Dada"
    form = client.get(asked.headers["location"]).text
    assert 'name="next" value="/users?name=ada"' in form
    assert log_in(client, "root", next="/users?name=ada").headers["location"] == "/users?name=ada"


def test_what_somebody_types_is_shown_as_text(site: Site) -> None:
    answer = log_in(site.client(), '"><script>alert(1)</script>', "x" * 12)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_wrong_password_and_a_name_that_is_nobodys_look_the_same(site: Site) -> None:
    known, unknown = person("known"), "stranger"
    answers = [log_in(site.client(), name, "not the password") for name in (known, unknown)]
    assert [one.status_code for one in answers] == [401, 401]
    assert answers[0].text.replace(known, unknown) == answers[1].text


def test_another_site_can_neither_log_in_nor_out_in_somebodys_name(site: Site) -> None:
    client = site.inside("root")
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert client.post("/logout", headers=evil).status_code == 403
    assert client.post("/login", headers=evil, data={"name": "root", "password": PASSWORD}).status_code == 403
    assert "Log out" in client.get("/logout", headers={"sec-fetch-site": "cross-site"}).text
    assert client.get("/", headers={"accept": "text/html"}).status_code == 200


def test_a_cookie_opens_nothing_after_its_owner_has_logged_out(site: Site) -> None:
    client = site.inside("root")
    kept = client.cookies[COOKIE]
    client.post("/logout")
    assert site.client(cookie=f"{COOKIE}={kept}").get("/").status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../web.py", "/assets/%2e%2e/web.py", "/assets/..%2fweb.py", "/assets/%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/media/../../../../etc/passwd", "/media/%2e%2e%2f%2e%2e%2fetc/passwd", "/app/static/..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/web.py", "/component/x/..%2f..%2f..%2fetc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_its_folder(inside: httpx.Client, path: str) -> None:
    request = inside.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = inside.send(request)
    assert "root:" not in answer.text
    assert "def application" not in answer.text
    assert "[project]" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nobody_uploads_without_a_session(site: Site, method: str) -> None:
    answer = site.client(accept="*/*").request(method, "/_stcore/upload_file/a/b", content=b"x")
    assert answer.status_code == 401


def test_who_guesses_a_password_has_to_wait_and_so_has_the_right_one(site: Site) -> None:
    name = person("guessed")
    tried = [log_in(site.client(), name, f"guess number {number}") for number in range(6)]
    assert [one.status_code for one in tried] == [401] * 5 + [429]
    assert int(tried[-1].headers["retry-after"]) >= 1
    later = datetime.now(UTC) + timedelta(minutes=1)
    lockout.attempt(database(), name, "192.0.2.9", later)  # the first wait is a second: a busy machine sits it out
    assert log_in(site.client(), name).status_code == 429


def test_the_password_alone_opens_nothing_where_a_code_is_needed(site: Site) -> None:
    name = person("careful", Permission.ACCOUNT_OWN)
    opened = sessions.log_in(name, SecretStr(PASSWORD), Client("192.0.2.1"))
    who = sessions.identify(opened.token, "192.0.2.1")
    secret = account.begin_second_factor(who).secret
    recovery = account.confirm_second_factor(who, SecretStr(pyotp.TOTP(secret).now()))
    client = site.client()
    assert "Code" in log_in(client, name, next="/account").text
    assert (COOKIE in client.cookies, SECOND in client.cookies) == (False, True)
    assert client.get("/account").headers["location"].startswith("/login")
    assert client.post("/login/second", data={"code": "000000"}).status_code == 401
    let_in = client.post("/login/second", data={"code": recovery[0], "next": "/account"})
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/account")
    assert SECOND not in client.cookies
    other = site.client()
    log_in(other, name)
    assert other.post("/login/second", data={"code": recovery[0]}).status_code == 401  # each is taken once
    assert site.client().post("/login/second", data={"code": recovery[1]}).headers["location"] == "/login"
