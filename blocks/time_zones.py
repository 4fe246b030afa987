"""The time zones of this machine, read from its disk once.

Prefect compares the zone of every schedule that it reads with all that there are, and reads the list anew each time:
five milliseconds, at the server and again in its client, so that a thousand jobs took each of them five seconds.
"""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from prefect.types import _datetime


def remember() -> None:
    """Let Prefect, in this process, read the list once."""
    _datetime.available_timezones = cache(available_timezones)  # type: ignore[attr-defined]
