"""Charts, each with the table that it draws: whoever cannot see a colour reads the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import altair as alt
import pandas as pd
import streamlit as st

from core.states import RunState
from dashboard.components.figures import GREEN, STATE_COLORS

HEIGHT = 220  # pixels
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def runs_by_day(runs: Mapping[tuple[date, RunState], int]) -> None:
    """A bar for each day, its parts the states in which runs ended."""
    states = [state for state in RunState if any(state is one for _, one in runs)]
    table = pd.DataFrame(
        [{"Day": pd.Timestamp(day), "State": state.value, "Runs": number} for (day, state), number in runs.items()]
    )
    colors = alt.Scale(domain=[one.value for one in states], range=[STATE_COLORS[one] for one in states])
    chart = (
        alt.Chart(table)
        .mark_bar(cornerRadius=2)
        .encode(
            x=alt.X("yearmonthdate(Day):T", title=None, axis=alt.Axis(format="%d %b", labelAngle=0)),
            y=alt.Y("Runs:Q", title=None, axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("State:N", title=None, scale=colors, legend=alt.Legend(orient="top")),
            tooltip=["Day:T", "State:N", "Runs:Q"],
        )
        .properties(height=HEIGHT)
    )
    _drawn(chart, table.sort_values("Day", ascending=False), "runs")


def growth(days: Sequence[tuple[date, int]], unit: str = "GB") -> None:
    """How the sum of all backups grew, in gigabytes."""
    table = pd.DataFrame([{"Day": pd.Timestamp(day), unit: size / 1e9} for day, size in days])
    chart = (
        alt.Chart(table)
        .mark_area(opacity=0.6, color=GREEN, line={"color": GREEN})
        .encode(
            x=alt.X("Day:T", title=None, axis=alt.Axis(format="%d %b", labelAngle=0)),
            y=alt.Y(f"{unit}:Q", title=unit),
            tooltip=["Day:T", alt.Tooltip(f"{unit}:Q", format=",.2f")],
        )
        .properties(height=HEIGHT)
    )
    _drawn(chart, table.sort_values("Day", ascending=False), "growth")


def calendar(backups: Mapping[date, int], last: date, days: int = 365) -> None:
    """A square for each day of a year: the more backups, the stronger; a day without one stays empty."""
    every = [last - timedelta(days=back) for back in reversed(range(days))]
    table = pd.DataFrame(
        [
            {
                "Day": pd.Timestamp(day),
                "Week": pd.Timestamp(day - timedelta(days=day.weekday())),
                "Weekday": _WEEKDAYS[day.weekday()],
                "Backups": backups.get(day, 0),
            }
            for day in every
        ]
    )
    quiet = alt.Axis(labels=False, ticks=False, domain=False)
    chart = (
        alt.Chart(table)
        .mark_rect(cornerRadius=2, stroke="transparent", strokeWidth=2)
        .encode(
            x=alt.X("yearmonthdate(Week):O", title=None, axis=quiet),
            y=alt.Y("Weekday:N", sort=_WEEKDAYS, title=None, axis=alt.Axis(ticks=False, domain=False)),
            color=alt.condition(
                alt.datum.Backups > 0,
                alt.Color("Backups:Q", legend=None, scale=alt.Scale(range=["#8fd3bf", GREEN], zero=True)),
                alt.value("#8a9a9840"),
            ),
            tooltip=["Day:T", "Backups:Q"],
        )
        .properties(height=150)
        .configure_view(strokeWidth=0)
    )
    shown = table.loc[table["Backups"] > 0, ["Day", "Backups"]].sort_values("Day", ascending=False)
    _drawn(chart, shown, "calendar")


def _drawn(chart: alt.Chart, table: pd.DataFrame, key: str) -> None:
    st.altair_chart(chart, key=f"chart-{key}")
    with st.popover("As a table", icon=":material/table:", type="tertiary"):
        st.dataframe(table, hide_index=True, column_config={"Day": st.column_config.DateColumn()})
