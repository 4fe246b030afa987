"""The states of a run, and what they mean."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is. PARTIAL means that some of what was asked is safe and some is not."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the run."""
        return self not in (RunState.PENDING, RunState.RUNNING)

    @property
    def is_good(self) -> bool:
        """Whether everything that was asked for is proven."""
        return self is RunState.SUCCESS

    @classmethod
    def of(cls, succeeded: int, failed: int) -> RunState:
        """The final state of a run of which ``succeeded`` parts are proven and ``failed`` parts are not."""
        if failed == 0 and succeeded > 0:
            return cls.SUCCESS
        return cls.PARTIAL if succeeded else cls.FAILED
