"""What a request may ask for, beside what its path says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from core.states import RunState


class WantedPage(BaseModel):
    """A page of the runs that fit everything that is given. ``source`` is read or written by them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = ""
    job: str = ""
    source: str = ""
    state: tuple[RunState, ...] = ()
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)
