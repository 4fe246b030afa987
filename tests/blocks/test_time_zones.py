"""Prefect reads the list of time zones once, and still refuses a zone that is none."""

from __future__ import annotations

import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as ServersCronSchedule
from prefect.types import _datetime
from pydantic import ValidationError

from blocks import time_zones


def test_the_list_is_read_once_for_any_number_of_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def zones() -> set[str]:
        read.append(1)
        return {"Europe/Berlin"}

    monkeypatch.setattr(_datetime, "available_timezones", zones)  # as Prefect has it, and as it is again afterwards
    CronSchedule(cron="0 3 * * *", timezone="Europe/Berlin")
    assert read, "where Prefect does not ask any more, nothing has to be remembered"
    read.clear()
    monkeypatch.setattr(time_zones, "available_timezones", zones)
    time_zones.remember()
    for kind in (CronSchedule, ServersCronSchedule):
        for hour in range(20):
            assert kind(cron=f"0 {hour} * * *", timezone="Europe/Berlin").timezone == "Europe/Berlin"
        with pytest.raises(ValidationError, match="Invalid timezone"):
            kind(cron="0 3 * * *", timezone="Europe/Atlantis")
    assert len(read) == 1
