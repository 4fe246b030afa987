"""The embedded Prefect server is for its owner alone, and there is one for each home."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prefect.settings.models.root import Settings as PrefectSettings

from blocks import server
from blocks.api import prefect_api
from blocks.embedded import DATABASE, PORT, environment, folder, last_port, running
from core.settings import Settings, settings
from tests.environment import without_ours
from tests.waiting import until


@pytest.fixture
def address(home: Path) -> dict[str, str]:
    with prefect_api():
        written: dict[str, str] = json.loads((folder(settings()) / "server.json").read_text())
        return written


@pytest.mark.parametrize("auth", [None, ("dbackup", "guessed"), ("", "")])
def test_nobody_gets_in_without_the_password(address: dict[str, str], auth: tuple[str, str] | None) -> None:
    for method, path in (("GET", "/admin/version"), ("POST", "/block_documents/filter"), ("POST", "/flow_runs/filter")):
        assert httpx.request(method, address["url"] + path, auth=auth, json={}).status_code == 401


def test_the_password_opens_it(address: dict[str, str]) -> None:
    user, _, password = address["auth"].partition(":")
    assert httpx.get(address["url"] + "/admin/version", auth=(user, password)).is_success


def test_it_listens_on_the_loopback_only(address: dict[str, str]) -> None:
    port = f"{int(address['url'].rsplit(':', 1)[1].partition('/')[0]):04X}"
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {local for _, local, _, state, *_ in sockets if state == "0A" and local.endswith(f":{port}")}
    assert listening == {f"0100007F:{port}"}


def test_what_it_keeps_is_private(address: dict[str, str], home: Path) -> None:
    assert stat.S_IMODE((home / "prefect").stat().st_mode) == 0o700
    open_to_others = [path for path in (home / "prefect").iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


def test_its_pages_ask_this_server_and_no_other(address: dict[str, str]) -> None:
    user, _, password = address["auth"].partition(":")
    base = address["url"].removesuffix("/api")
    pages = httpx.get(f"{base}/ui-settings", auth=(user, password)).json()
    assert pages["api_url"] == address["url"]


def test_the_interface_that_asks_an_outside_host_is_not_served(address: dict[str, str]) -> None:
    base = address["url"].removesuffix("/api")
    assert httpx.get(f"{base}/ui-settings").json()["available_uis"] == ["v1"]
    first = httpx.get(base, headers={"accept": "text/html"}).text
    for path in ("/v2", "/v2/", "/v2/dashboard", "/v2/assets/index.js"):
        for accepted in ("text/html", "*/*"):
            page = httpx.get(base + path, headers={"accept": accepted}, follow_redirects=True)
            assert page.status_code == 404 or page.text == first


def test_what_its_pages_load_lies_on_this_server(address: dict[str, str]) -> None:
    base = address["url"].removesuffix("/api")
    page = httpx.get(base, headers={"accept": "text/html"}).text
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert loaded
    styles = [httpx.get(base + path).text for path in loaded if path.endswith(".css")]
    loaded += [url for style in styles for url in re.findall(r"""(?:url\(|@import\s)["']?([^"')\s]+)""", style)]
    assert [url for url in loaded if url.startswith("//") or "://" in url.partition("data:")[0]] == []


def test_it_offers_the_blocks_of_what_is_installed_and_of_nothing_else(address: dict[str, str]) -> None:
    user, _, password = address["auth"].partition(":")
    found = httpx.post(f"{address['url']}/block_types/filter", auth=(user, password), json={"limit": 200}).json()
    offered = {one["slug"] for one in found}
    assert {"aws-credentials", "minio-credentials", "secret"} <= offered
    assert not {slug for slug in offered if slug.startswith(("azure", "dbt", "gcp", "kubernetes", "snowflake"))}


def test_a_second_one_of_the_same_home_gives_way(address: dict[str, str]) -> None:
    second = subprocess.run([sys.executable, "-m", "blocks.server"], timeout=60, check=False)
    assert second.returncode == 0
    api = running(settings())
    assert api is not None
    assert api.url == address["url"]


def test_what_listens_at_a_dead_servers_address_is_never_asked(tmp_path: Path) -> None:
    """Whoever takes the port of a server that was killed gets neither its password nor a say."""
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "serving").touch()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = {"url": f"http://127.0.0.1:{stranger.getsockname()[1]}/api", "auth": "dbackup:secret", "pid": 1}
        (tmp_path / "prefect" / "server.json").write_text(json.dumps(address))
        assert running(Settings(home=tmp_path)) is None
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.parametrize("text", ["[]", "null", '{"url": 7, "auth": 7}', '{"url": "http://[", "auth": "a:b"}', "{"])
def test_a_damaged_address_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "server.json").write_text(text)
    assert running(Settings(home=tmp_path)) is None


def test_the_next_one_listens_where_the_last_one_did_if_nobody_else_does(address: dict[str, str]) -> None:
    assert last_port(settings()) == httpx.URL(address["url"]).port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        last = taken.getsockname()[1]
        with server._listener(0, last) as elsewhere:
            assert elsewhere.getsockname()[1] not in (0, last)
    with server._listener(0, last) as again:
        assert again.getsockname()[1] == last


@pytest.mark.parametrize("text", ["", "many", "-1", "65536"])
def test_a_damaged_port_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / PORT).write_text(text)
    assert last_port(Settings(home=tmp_path)) == 0


def test_it_ends_when_nobody_needs_it(home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "DBACKUP_HOME": str(tmp_path), "DBACKUP_SERVER_IDLE": "5"}
    (tmp_path / "prefect").mkdir()  # as whoever starts one has made it
    with subprocess.Popen([sys.executable, "-m", "blocks.server"], env=environment) as started:
        until((tmp_path / "prefect" / "server.json").exists, "the server to answer")
        assert started.wait(60) == 0
    assert not (tmp_path / "prefect" / "server.json").exists()


def test_a_database_that_cannot_be_made_is_said(home: Path, tmp_path: Path) -> None:
    (tmp_path / "prefect" / ".prefect.db.new").mkdir(parents=True)
    command = [sys.executable, "-m", "blocks.server"]
    environment = {**os.environ, "DBACKUP_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"the database {tmp_path / 'prefect' / 'prefect.db'} cannot be made: " in done.stderr


def test_what_becomes_of_steps_is_written_down_in_batches_with_a_rest_between(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect counts whole seconds: with less than one, its loop would never rest."""
    for name, value in environment(settings()).items():
        monkeypatch.setenv(name, value)
    recorder = PrefectSettings().server.services.task_run_recorder
    assert recorder.batch_size > 1
    assert int(recorder.flush_interval) >= 1


UNDERSTOOD = """
from blocks import server
server._configure("dbackup:secret", "http://127.0.0.1:1")
from prefect.settings.models.root import Settings
told = Settings().server
print(sorted(told.services.db_vacuum.enabled), told.analytics_enabled, told.ui.v2_enabled)
"""


def test_whoever_reads_is_answered_while_many_wait_for_their_turn_to_write(address: dict[str, str]) -> None:
    user, _, password = address["auth"].partition(":")

    def ask(path: str, **asked: str) -> httpx.Response:
        return httpx.post(address["url"] + path, auth=(user, password), json=asked, timeout=60)

    with closing(sqlite3.connect(folder(settings()) / DATABASE, isolation_level=None)) as connection:
        with ThreadPoolExecutor(40) as at_once:
            connection.execute("BEGIN IMMEDIATE")
            written = [at_once.submit(ask, "/flows/", name=f"flow-{number}") for number in range(40)]
            until(lambda: all(one.running() for one in written), "all to be on their way")
            time.sleep(1)  # and to have come where they wait
            assert ask("/flows/filter").is_success, "or it waits for half a minute, and is refused"
            assert not any(one.done() for one in written)
            connection.execute("ROLLBACK")
        assert all(one.result().is_success for one in written)


def test_prefect_understands_that_it_is_to_forget_old_runs_and_to_tell_nobody_outside() -> None:
    command, environment = [sys.executable, "-c", UNDERSTOOD], without_ours()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['events', 'flow_runs'] False False\n"


def test_no_answer_waits_for_the_confirmation_of_its_first_half() -> None:
    """Nagle's algorithm is off for every connection that asyncio accepts."""
    found: list[int] = []

    async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        found.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def meet() -> None:
        with server._listener(0) as listener:
            async with await asyncio.start_server(met, sock=listener):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                assert await reader.read() == b""
                writer.close()

    asyncio.run(meet())
    assert found == [1]
