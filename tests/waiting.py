"""Waiting for a condition, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

SECONDS = 180  # a machine with much else to do takes its time; nothing waits longer than it has to


def until(condition: Callable[[], object], what: str, *, seconds: float = SECONDS) -> None:
    """Wait until the condition holds; fail with what was waited for when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        answered = time.monotonic()
        if answered > deadline:
            pytest.fail(f"waited {seconds:.0f} seconds for {what}")
        time.sleep(min(1.0, max(0.02, 4 * (answered - asked))))  # asking takes time from what is waited for
