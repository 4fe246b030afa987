"""When a job runs, chosen in words or as a cron line, with a preview of the next times in the job's zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import available_timezones

import streamlit as st

from actions import jobs
from actions.door import Identity
from dashboard.components import problems

NEVER, HOURLY, DAILY, WEEKLY, MONTHLY, CRON = "By hand", "Hourly", "Daily", "Weekly", "Monthly", "Cron"
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")  # as cron counts them
_PLAIN = re.compile(r"([1-5]?\d) (1?\d|2[0-3]|\*) ([1-9]|[12]\d|3[01]|\*) \* ([0-6]|\*)", re.ASCII)


@dataclass(frozen=True)
class Rhythm:
    """A cron line in words. ``cron`` is the line itself, empty where nothing runs by itself."""

    kind: str = NEVER
    at: time = time(3, 0)
    day: int = 1
    weekday: int = 0
    written: str = ""

    @classmethod
    def of(cls, cron: str) -> Rhythm:
        """The words for a cron line; one that they cannot say stays as it is written."""
        found = _PLAIN.fullmatch(" ".join(cron.split()))
        if found is None:
            return cls(CRON, written=cron) if cron else cls()
        minute, hour, day, weekday = (None if part == "*" else int(part) for part in found.groups())
        kind = {(0, 0, 0): HOURLY, (1, 0, 0): DAILY, (1, 0, 1): WEEKLY, (1, 1, 0): MONTHLY}.get(
            (hour is not None, day is not None, weekday is not None), CRON
        )
        return cls(kind, time(hour or 0, minute or 0), day or 1, weekday or 0, cron)

    @property
    def cron(self) -> str:
        """The cron line for it."""
        hour, minute = self.at.hour, self.at.minute
        return {
            NEVER: "",
            HOURLY: f"{minute} * * * *",
            DAILY: f"{minute} {hour} * * *",
            WEEKLY: f"{minute} {hour} * * {self.weekday}",
            MONTHLY: f"{minute} {hour} {self.day} * *",
        }.get(self.kind, self.written.strip())


def choose(who: Identity, cron: str, timezone: str) -> tuple[str, str]:
    """Draw the choice, and give the cron line and the zone."""
    said = Rhythm.of(cron)
    kinds = (NEVER, HOURLY, DAILY, WEEKLY, MONTHLY, CRON)
    kind = st.segmented_control("When it runs", kinds, default=said.kind, key="schedule-kind", required=True) or NEVER
    if kind == NEVER:
        st.caption("The job runs only when somebody starts it.")
    chosen = _details(kind, said)
    zone = st.selectbox(
        "Time zone", zones := sorted(available_timezones() | {timezone}), zones.index(timezone), key="schedule-zone",
        help="In it a day ends, for the schedule and for what is kept.",
    )  # fmt: skip
    if chosen.cron:
        with problems.told():
            _preview(jobs.preview(who, chosen.cron, zone))
    return chosen.cron, zone


def _details(kind: str, said: Rhythm) -> Rhythm:
    at, day, weekday, written = said.at, said.day, said.weekday, said.written
    with st.container(horizontal=True):
        if kind == HOURLY:
            at = time(0, int(st.number_input("Minute", 0, 59, said.at.minute, key="schedule-minute", width=140)))
        if kind == WEEKLY:
            weekday = WEEKDAYS.index(
                st.selectbox("Day", WEEKDAYS, said.weekday, key="schedule-weekday", width=180) or WEEKDAYS[0]
            )
        if kind == MONTHLY:
            day = int(st.number_input("Day of the month", 1, 31, said.day, key="schedule-day", width=180))
        if kind in (DAILY, WEEKLY, MONTHLY):
            at = st.time_input("At", said.at, key="schedule-at", step=300, width=140) or said.at
        if kind == CRON:
            written = st.text_input(
                "Minute, hour, day, month, weekday", said.written or Rhythm(DAILY, said.at).cron, key="schedule-cron",
                width=320,
            )  # fmt: skip
    return Rhythm(kind, at, day, weekday, written)


def _preview(times: tuple[datetime, ...]) -> None:
    st.caption("The next times: " + " · ".join(f"{at:%a %d %b %H:%M}" for at in times))
