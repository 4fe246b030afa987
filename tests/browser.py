"""Chromium, as a person has it. A page that asks anything outside, or that reports an error, fails its test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.servers.install import INSTALL

CHROMIUM = Path("/usr/bin/chromium")
DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=390, height=844)
PATIENCE = 30_000  # milliseconds that anything on a page may take


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module. It keeps an event loop in this thread, in which Prefect's synchronous calls would do
    nothing: no other module is to meet that."""
    if not CHROMIUM.exists():
        pytest.fail(f"Chromium is not installed; {INSTALL}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def looking(browser: Browser, root: str, *, view: ViewportSize = DESK, dark: bool = False) -> Iterator[Page]:
    """A page of a visitor of their own: no cookie of anybody else, nothing fetched from outside, no error."""
    context = browser.new_context(base_url=root, viewport=view, color_scheme="dark" if dark else "light")
    context.set_default_timeout(PATIENCE)
    outside: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: outside.append(request.url) if _is_outside(request.url) else None)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_refusal(message.text) else None)
    try:
        yield page
    finally:
        context.close()
    assert outside == []
    assert errors == []


def _is_outside(url: str) -> bool:
    return urlsplit(url).hostname not in {"127.0.0.1", "localhost", None}


def _is_refusal(text: str) -> bool:
    """Whether the browser refused something because of the page's own policy."""
    return "Content Security Policy" in text
