"""A notification channel in memory. It passes the contract of the real ones, and can be told to fail."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import ConnectionError, DBackupError, NotificationError
from core.events import ALARMS, Event
from core.notifications import Notification


@dataclass
class MemoryChannel:
    """Messages in a list. ``refusing`` and ``unreachable`` make every one fail, ``failures`` the next ones."""

    channel: ClassVar[str] = "memory"
    usual_events: ClassVar[tuple[Event, ...]] = ALARMS

    messages: list[str] = field(default_factory=list)
    tries: int = 0
    refusing: bool = False
    unreachable: bool = False
    failures: deque[DBackupError] = field(default_factory=deque)

    def describe(self) -> str:
        return "a list in memory"

    def send(self, notification: Notification) -> None:
        self.tries += 1
        if self.failures:
            raise self.failures.popleft()
        if self.refusing:
            raise NotificationError("the memory refused the message", hint="told to refuse")
        if self.unreachable:
            raise ConnectionError("the memory cannot be reached", hint="told to fail")
        self.messages.append(f"{notification.title}\n{notification.text}")
