"""``make screenshots``: a picture of every page, light, dark and as a phone shows it, of a system with sample data.

The newest backups are real ones of a sample shop; what a year of use leaves in the catalog is invented.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import ViewportSize, expect, sync_playwright
from sqlalchemy import update

from cli.demo import shop
from tests.browser import CHROMIUM
from tests.servers.processes import free_port, started

COMMAND = Path(sys.executable).with_name("dbackup")
PICTURES = Path("docs/pictures")
VIEWS: dict[str, tuple[ViewportSize, bool]] = {
    "light": (ViewportSize(width=1360, height=900), False),
    "dark": (ViewportSize(width=1360, height=900), True),
    "phone": (ViewportSize(width=390, height=844), False),
}
NAME, PASSWORD = "ada", "correct horse battery staple"
SOURCES = ("shop", "billing", "crm", "wiki", "sessions")
SETTLE = 2500  # milliseconds for charts and tables to be drawn


def main() -> None:
    """Take the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="dbackup-pictures-") as folder,
        _system(Path(folder)) as root,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for view, (size, dark) in VIEWS.items():
            context = browser.new_context(base_url=root, viewport=size, color_scheme="dark" if dark else "light")
            context.set_default_timeout(60_000)
            _take(context.new_page(), view)
            context.close()
        browser.close()


def _take(page: BrowserPage, view: str) -> None:
    from dashboard.views import SECTIONS

    page.goto("/login")
    page.screenshot(path=PICTURES / f"login-{view}.png")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.click("button")
    for one in (one for pages in SECTIONS.values() for one in pages):
        _picture(page, f"/{one.path}", f"{one.path or 'home'}-{view}")
    backup_id = _newest()
    _picture(page, f"/backups?backup={backup_id}", f"backup-{view}")
    page.goto(f"/restore?backup={backup_id}")
    page.get_by_text("See what would happen").click()
    page.get_by_role("heading", name="What will happen").wait_for()
    _picture(page, "", f"restore-{view}")


def _picture(page: BrowserPage, path: str, name: str) -> None:
    if path:
        page.goto(path)
    page.get_by_role("heading", level=1).first.wait_for()
    page.wait_for_timeout(SETTLE)
    for sign in ("stSkeleton", "stStatusWidget"):  # something is still on its way
        expect(page.get_by_test_id(sign)).to_have_count(0, timeout=60_000)
    page.screenshot(path=PICTURES / f"{name}.png")
    print(name, file=sys.stderr, flush=True)  # noqa: T201


def _newest() -> str:
    from services.records import catalog

    return catalog().find("nightly-shop/latest").manifest.backup_id


@contextmanager
def _system(folder: Path) -> Iterator[str]:
    port = free_port()
    os.environ.update(
        {"DBACKUP_HOME": str(folder / "home"), "DBACKUP_WEB_PORT": str(port), "DBACKUP_SERVER_IDLE": "30"}
    )
    _fill(folder)
    root = f"http://127.0.0.1:{port}"
    with started([COMMAND, "up"], lambda: _answers(root), folder / "web.log", seconds=240):
        yield root


def _answers(root: str) -> bool:
    try:
        return httpx.get(f"{root}/health", timeout=60).is_success
    except httpx.TransportError:
        return False


def _dbackup(*arguments: str | Path, given: str = "") -> None:
    subprocess.run([COMMAND, *map(str, arguments)], input=given, text=True, check=True, stdout=subprocess.DEVNULL)


def _fill(folder: Path) -> None:
    shop.make(folder / "shop.db")
    _dbackup("user", "create", NAME, "--group", "Administrators", "--password-stdin", given=PASSWORD)
    _dbackup("group", "create", "operators", "--permission", "jobs:*", "--permission", "backups:read")
    _dbackup("user", "create", "grace", "--group", "operators", "--password-stdin", given=PASSWORD)
    _dbackup("key", "create", "production")
    _dbackup("notification", "add", "ops", "https://discord.com/api/webhooks/1/only-a-picture")
    for storage in ("attic", "nas"):
        _dbackup("storage", "add", storage, folder / storage)
    for name in SOURCES:
        if name != "shop":
            (folder / f"{name}.db").write_bytes((folder / "shop.db").read_bytes())
        _dbackup("source", "add", f"{name}-prod", f"sqlite:///{folder}/{name}.db")
        _dbackup(
            "job", "create", f"nightly-{name}", "--source", f"{name}-prod", "--to", "attic", "--to", "nas",
            "--profile", "production", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin",
            "--keep", "last=7,daily=14,weekly=8,monthly=12", "--overdue-after", "26",
        )  # fmt: skip
    _invent()
    for name in SOURCES[:1] + SOURCES[2:4]:
        _dbackup("job", "run", f"nightly-{name}")


def _invent() -> None:
    from core.manifest import JobReference, Manifest, ManifestFile, SourceDescription
    from core.naming import backup_folder, job_slug
    from core.states import RunState
    from db.models import ExecutionRow
    from services.backups import saved_job
    from services.records import catalog, database, executions

    chance, now = random.Random(7), datetime.now(UTC)  # pictures are to look alike each time
    for name in SOURCES[:4]:
        reference: JobReference = saved_job(f"nightly-{name}")
        for day in range(220, 2 if name == "billing" else 0, -1):
            if chance.random() < 0.04:
                continue
            moment = now - timedelta(days=day, minutes=chance.randrange(50))
            size = 90_000_000 + (220 - day) * 900_000 + chance.randrange(20_000_000)
            manifest = Manifest(
                backup_id=f"{moment:%Y%m%dT%H%M%SZ}-{chance.randrange(1 << 24):06x}",
                job=reference,
                source=SourceDescription(name=f"{name}-prod", engine="sqlite", server_version="3.40", tool="sqlite"),
                trigger="schedule",
                started_at=moment,
                finished_at=moment + timedelta(seconds=40),
                files=(
                    ManifestFile(
                        name="shop.db.zst", database=name, kind="database", dump_format="sqlite", compression="zstd",
                        size=size, sha256="0" * 64, dump_size=size * 3,
                    ),
                ),
            )  # fmt: skip
            folder = backup_folder(job_slug(reference.name, reference.id), manifest.backup_id)
            for storage in ("attic", "nas"):
                catalog().record(manifest, manifest.to_bytes(), storage=storage, folder=folder)
            if day > 14:
                continue
            run = executions().create("backup", reference.name)
            executions().start(run)
            state = RunState.PARTIAL if chance.random() < 0.06 else RunState.SUCCESS
            problem = "nas: the disk is full" if state is RunState.PARTIAL else ""
            executions().finish(run, state, summary=f"backup {manifest.backup_id} {state.value}", error=problem)
            times = {"created_at": moment, "started_at": moment, "finished_at": moment + timedelta(seconds=40)}
            with database().session() as session:
                session.execute(update(ExecutionRow).where(ExecutionRow.execution_id == run).values(times))


if __name__ == "__main__":
    main()
