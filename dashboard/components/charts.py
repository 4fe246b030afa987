"""Charts, in the grammar of Vega-Lite. Each has the table that it draws: whoever cannot see a colour reads figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core.states import RunState
from dashboard.components.figures import GREEN, STATE_COLORS

HEIGHT = 220  # pixels
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_DAY = {"field": "Day", "type": "temporal"}
_DAYS = {"title": None, "axis": {"format": "%d %b", "labelAngle": 0}}


def runs_by_day(runs: Mapping[tuple[date, RunState], int]) -> None:
    """A bar for each day, its parts the states in which runs ended."""
    states = [state for state in RunState if any(state is one for _, one in runs)]
    table = pd.DataFrame(
        [{"Day": pd.Timestamp(day), "State": state.value, "Runs": number} for (day, state), number in runs.items()]
    )
    runs_of_state = {"field": "Runs", "type": "quantitative"}
    state = {"field": "State", "type": "nominal"}
    colors = {"domain": [one.value for one in states], "range": [STATE_COLORS[one] for one in states]}
    chart = {
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {
            "x": {**_DAY, "timeUnit": "yearmonthdate", **_DAYS},
            "y": {**runs_of_state, "title": None, "axis": {"tickMinStep": 1}},
            "color": {**state, "title": None, "scale": colors, "legend": {"orient": "top"}},
            "tooltip": [_DAY, state, runs_of_state],
        },
        "height": HEIGHT,
    }
    _drawn(chart, table, table.sort_values("Day", ascending=False), "runs")


def growth(days: Sequence[tuple[date, int]], unit: str = "GB") -> None:
    """How the sum of all backups grew, in gigabytes."""
    table = pd.DataFrame([{"Day": pd.Timestamp(day), unit: size / 1e9} for day, size in days])
    size = {"field": unit, "type": "quantitative"}
    chart = {
        "mark": {"type": "area", "opacity": 0.6, "color": GREEN, "line": {"color": GREEN}},
        "encoding": {
            "x": {**_DAY, **_DAYS},
            "y": {**size, "title": unit},
            "tooltip": [_DAY, {**size, "format": ",.2f"}],
        },
        "height": HEIGHT,
    }
    _drawn(chart, table, table.sort_values("Day", ascending=False), "growth")


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
    number = {"field": "Backups", "type": "quantitative"}
    strength = {"scale": {"range": ["#8fd3bf", GREEN], "zero": True}, "legend": None}
    plain = {"ticks": False, "domain": False}
    chart = {
        "mark": {"type": "rect", "cornerRadius": 2, "stroke": "transparent", "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "Week", "timeUnit": "yearmonthdate", "type": "ordinal", "title": None,
                "axis": {**plain, "labels": False},
            },
            "y": {"field": "Weekday", "type": "nominal", "sort": _WEEKDAYS, "title": None, "axis": plain},
            "color": {"condition": {**number, **strength, "test": "datum.Backups > 0"}, "value": "#8a9a9840"},
            "tooltip": [_DAY, number],
        },
        "height": 150,
        "config": {"view": {"strokeWidth": 0}},
    }  # fmt: skip
    shown = table.loc[table["Backups"] > 0, ["Day", "Backups"]].sort_values("Day", ascending=False)
    _drawn(chart, table, shown, "calendar")


def _drawn(chart: dict[str, Any], data: pd.DataFrame, table: pd.DataFrame, key: str) -> None:
    st.vega_lite_chart(data, chart, key=f"chart-{key}")
    opened = st.popover("As a table", icon=":material/table:", type="tertiary", key=f"table-{key}", on_change="rerun")
    if opened.open:  # what nobody looks at need not be made each time
        opened.dataframe(table, hide_index=True, column_config={"Day": st.column_config.DateColumn()})
