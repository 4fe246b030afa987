"""Figures as people read them."""

from __future__ import annotations

import pytest

from cli import words


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB"), (5.2e15, "5.2 PB")],
)
def test_sizes_have_decimal_units(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (12, "12 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_spans_have_the_unit_that_fits(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_a_rate_over_no_time_is_not_known() -> None:
    assert (words.rate(45_200_000, 1), words.rate(5, 0)) == ("45.2 MB/s", "?")
