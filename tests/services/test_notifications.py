"""Delivery: tried again while that can help, with growing pauses, and never for ever."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest

from core.errors import ConnectionError, NotificationError, RateLimited
from services import notifications
from services.notifications import LONGEST_PAUSE, PAUSES, deliver
from tests.fakes.notification import MemoryChannel

AGAIN = ConnectionError("not now", hint="later")


def test_a_message_that_is_taken_is_sent_once() -> None:
    channel = MemoryChannel()
    deliver(channel, notifications.trial())
    assert (channel.tries, len(channel.messages)) == (1, 1)


def test_a_channel_that_comes_back_hears_the_message_once_after_growing_pauses() -> None:
    channel, waited = MemoryChannel(failures=deque([AGAIN] * len(PAUSES))), list[float]()
    deliver(channel, notifications.trial(), pause=waited.append)
    assert waited == list(PAUSES)
    assert all(earlier < later for earlier, later in pairwise(waited))
    assert len(channel.messages) == 1


def test_a_channel_that_never_comes_back_is_given_up_with_its_reason() -> None:
    channel, waited = MemoryChannel(unreachable=True), list[float]()
    with pytest.raises(ConnectionError, match="cannot be reached"):
        deliver(channel, notifications.trial(), pause=waited.append)
    assert channel.tries == len(PAUSES) + 1


def test_a_refusal_is_not_tried_again() -> None:
    channel = MemoryChannel(refusing=True)
    with pytest.raises(NotificationError, match="refused"):
        deliver(channel, notifications.trial(), pause=lambda _: pytest.fail("waited for nothing"))
    assert channel.tries == 1


def test_a_channel_is_left_alone_for_as_long_as_it_asks() -> None:
    channel, waited = MemoryChannel(failures=deque([RateLimited("slowly", retry_after=17.5)])), list[float]()
    deliver(channel, notifications.trial(), pause=waited.append)
    assert waited == [17.5]


def test_a_channel_that_asks_for_too_much_is_given_up() -> None:
    channel = MemoryChannel(failures=deque([RateLimited("slowly", retry_after=LONGEST_PAUSE + 1)]))
    with pytest.raises(RateLimited):
        deliver(channel, notifications.trial(), pause=lambda _: pytest.fail("waited too long"))


def test_an_overdue_backup_can_be_told() -> None:
    channel = MemoryChannel()
    deliver(channel, notifications.overdue("shop", 26 * 3600.0))
    assert "no good one for 26 h 0 min" in channel.messages[0]
