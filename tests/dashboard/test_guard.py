"""What the guard lets in, and what it says to a browser about everything it lets out."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.guard import COOKIE, OPEN, Guard

TOKEN = "the token of a session that lives"
ORIGIN = "http://testserver"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("inside")
    await socket.close()


@pytest.fixture
def stranger() -> TestClient:
    """Somebody without a session."""
    every = ["GET", "POST"]
    app = Starlette(
        routes=[
            WebSocketRoute("/_stcore/stream", _socket),
            Route("/{path:path}", _page, methods=every),
        ],
        middleware=[Middleware(Guard, enters=lambda token, connection: token == TOKEN)],
    )
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def visitor(stranger: TestClient) -> TestClient:
    """Somebody with a session."""
    stranger.cookies.set(COOKIE, TOKEN)
    return stranger


@pytest.mark.parametrize("path", ["/", "/jobs", "/_stcore/health", "/media/backup.zst", "/loginx", "/apis", "/static2"])
def test_nothing_is_given_to_a_stranger(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, answer.text) == (401, "log in first")


def test_a_stranger_with_a_browser_is_sent_to_the_login_and_back(stranger: TestClient) -> None:
    answer = stranger.get("/jobs?name=a%26b", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/jobs%3Fname%3Da%2526b")


@pytest.mark.parametrize("path", OPEN)
def test_the_way_in_is_open(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).text == "inside"


@pytest.mark.parametrize("token", ["", "another", TOKEN[:-1]])
def test_a_cookie_that_opens_no_session_is_no_session(stranger: TestClient, token: str) -> None:
    stranger.cookies.set(COOKIE, token)
    assert stranger.get("/").status_code == 401


def test_whoever_has_a_session_is_let_in(visitor: TestClient) -> None:
    assert visitor.get("/jobs").text == "inside"


def test_a_socket_opens_only_with_a_session(stranger: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        stranger.websocket_connect("/_stcore/stream", headers={"origin": ORIGIN}),
    ):
        pass
    assert refused.value.code == 4401


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {}])
def test_another_site_cannot_open_a_socket_with_a_visitors_cookie(visitor: TestClient, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect("/_stcore/stream", headers=headers):
        pass


def test_our_own_page_can_open_a_socket(visitor: TestClient) -> None:
    with visitor.websocket_connect("/_stcore/stream", headers={"origin": ORIGIN}) as socket:
        assert socket.receive_text() == "inside"


@pytest.mark.parametrize("path", ["/login", "/logout", "/setup", "/_stcore/upload_file/x", "/api/v1/jobs/x/runs"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver.evil.example"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {},
    ],
)
def test_another_site_cannot_send_anything_in_a_visitors_name(
    visitor: TestClient, path: str, headers: dict[str, str]
) -> None:
    assert visitor.post(path, headers=headers).status_code == 403


def test_our_own_page_can_send_something(visitor: TestClient) -> None:
    assert visitor.post("/login", headers={"origin": ORIGIN}).text == "inside"


def test_a_script_with_a_token_needs_no_origin_but_may_not_ride_on_a_cookie(
    stranger: TestClient, visitor: TestClient
) -> None:
    bearer = {"authorization": "Bearer abc"}
    assert visitor.post("/api/v1/jobs/x/runs", headers=bearer).status_code == 403
    stranger.cookies.clear()
    assert stranger.post("/api/v1/jobs/x/runs", headers=bearer).text == "inside"


@pytest.mark.parametrize("path", ["/", "/login", "/jobs"])
def test_no_other_site_can_frame_a_page_and_no_page_can_load_from_outside(stranger: TestClient, path: str) -> None:
    headers = stranger.get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-frame-options"] == "DENY"
    assert policy["default-src"] == "'self'"
    assert "unsafe-inline" not in policy["script-src"]
    assert [
        one for rule in policy.values() for one in rule.split() if "http" in one or one in {"*", "ws:", "wss:"}
    ] == []
    assert headers["x-content-type-options"] == "nosniff"


def test_what_a_page_showed_is_kept_in_no_cache(visitor: TestClient) -> None:
    assert visitor.get("/media/secret.zip").headers["cache-control"] == "no-store"
