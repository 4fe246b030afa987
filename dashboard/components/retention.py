"""How long backups stay, chosen among a few usual ways or rule by rule."""

from __future__ import annotations

from dataclasses import fields

import streamlit as st

from core.retention import Retention
from core.spans import Span

OWN = "Rules of my own"
USUAL = {
    "Everything": Retention(),
    "A week of days": Retention(daily=7),
    "A month: 7 days, 4 weeks": Retention(daily=7, weekly=4),
    "A year: 7 days, 4 weeks, 12 months": Retention(daily=7, weekly=4, monthly=12),
    "Ten years: 7 days, 4 weeks, 12 months, 10 years": Retention(daily=7, weekly=4, monthly=12, yearly=10),
}
_COUNTS = [field.name for field in fields(Retention) if field.name not in ("within", "min_keep")]


def choose(title: str, said: Retention, key: str) -> Retention:
    """Draw the choice, and give the rules. Raises ConfigurationError for a span that cannot be read."""
    ways = [*USUAL, OWN]
    usual = next((name for name, rules in USUAL.items() if rules == said), OWN)
    way = st.selectbox(title, ways, ways.index(usual), key=f"{key}-way")
    return _own(said, key) if way == OWN else USUAL[way or usual]


def _own(said: Retention, key: str) -> Retention:
    with st.container(horizontal=True):
        counts = {
            name: int(st.number_input(name.capitalize(), 0, None, getattr(said, name), key=f"{key}-{name}", width=120))
            for name in _COUNTS
        }
        within = st.text_input(
            "Within", str(said.within or ""), key=f"{key}-within", placeholder="30d", width=120,
            help="All of the last days, weeks or months before the newest: 30d, 8w, 6m.",
        ).strip()  # fmt: skip
        least = int(
            st.number_input(
                "At least", 1, None, said.min_keep, key=f"{key}-min-keep", width=120,
                help="So many of the newest stay whatever the rules say.",
            )
        )  # fmt: skip
    return Retention(**counts, within=Span.parse(within) if within else None, min_keep=least)
