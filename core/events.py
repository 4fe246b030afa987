"""What a person can be told about."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What happened. ``OVERDUE`` means that there has been no good backup for too long."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    RESTORED = "restored"
    INTEGRITY = "integrity"
    OVERDUE = "overdue"
    TEST = "test"

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self in (Event.SUCCESS, Event.RESTORED, Event.TEST)


CHOICES = tuple(event for event in Event if event is not Event.TEST)  # a test is only ever asked for by hand
ALARMS = (Event.FAILURE, Event.PARTIAL, Event.INTEGRITY)  # what somebody should hear of who has chosen nothing
