"""The fixtures of these tests."""

from tests.dashboard.entering import site

__all__ = ["site"]
