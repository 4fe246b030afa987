"""A table of which one row can be chosen: by a click, or by the address of the page, as a link has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

NAME = "name"  # the parameter of the address


def chosen(rows: Sequence[Mapping[str, object]], names: Sequence[str], key: str) -> int | None:
    """Draw the table, and give the number of the row that is chosen. ``names`` are the rows' own, one for each."""
    asked = st.query_params.get(NAME, "")
    default = [names.index(asked)] if asked in names else []
    event = st.dataframe(
        pd.DataFrame(rows), hide_index=True, key=f"{key}-{asked}", on_select="rerun", selection_mode="single-row",
        selection_default={"selection": {"rows": default}},
    )  # fmt: skip
    number = next(iter(event["selection"]["rows"]), None)
    return number if number is not None and number < len(names) else None


def point_to(name: str) -> None:
    """Let the row of this name be chosen when the page is drawn again."""
    st.query_params[NAME] = name
