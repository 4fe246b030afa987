"""The memory fake keeps the promises of the real channels, so that tests above the adapters may rely on it."""

from __future__ import annotations

import pytest

from tests.adapters.notification_contract import NotificationContract, Scene
from tests.fakes.notification import MemoryChannel


@pytest.fixture
def scene() -> Scene:
    channel = MemoryChannel()
    return Scene(
        channel, MemoryChannel(refusing=True), MemoryChannel(unreachable=True), lambda count: channel.messages[:count]
    )


class TestMemoryChannel(NotificationContract):
    """The whole contract."""
