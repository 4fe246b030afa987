"""What a person can be told about."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What happened. ``OVERDUE``: there has been no good backup for too long; ``RECOVERED``: there is one again."""

    STARTED = "started"
    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    RESTORED = "restored"
    INTEGRITY = "integrity"
    OVERDUE = "overdue"
    RECOVERED = "recovered"
    TEST = "test"

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self not in (Event.FAILURE, Event.PARTIAL, Event.INTEGRITY, Event.OVERDUE)


# A test is only ever asked for by hand, and whoever hears that something is overdue hears when it is over.
CHOICES = tuple(event for event in Event if event not in (Event.TEST, Event.RECOVERED))
ALARMS = (Event.FAILURE, Event.PARTIAL, Event.INTEGRITY)  # what somebody should hear of who has chosen nothing
RUNS = (Event.STARTED, Event.SUCCESS, Event.RESTORED, *ALARMS)  # the beginning and every end of a run
