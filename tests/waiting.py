"""Waiting for a condition, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

SECONDS = 60


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; fail with what was waited for when it does not."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {SECONDS} seconds for {what}")
        time.sleep(0.02)
