"""The system of this machine, and the queue that it and others take runs from."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from actions.door import Identity, action
from core.permissions import Permission

if TYPE_CHECKING:
    from deployments.pool import Queue
    from deployments.supervisor import News
    from deployments.system import Extent


@action(Permission.SYSTEM_WRITE)
def run(who: Identity, extent: Extent, tell: Callable[[News], None], started: Callable[[], None], ended: Event) -> None:
    """Run the system, or the part of it that is wanted here, until ``ended`` is set.

    Raises ConfigurationError when one of this home runs already, or a worker has nothing that it shares with others.
    """
    from deployments import system

    system.run(extent, tell, started, ended)


@action(Permission.JOBS_READ)
def queue(who: Identity) -> Queue:
    """How many runs there may be at once, and who takes them."""
    from deployments import pool

    return pool.look()


@action(Permission.SYSTEM_WRITE)
def set_limit(who: Identity, limit: int) -> None:
    """Change how many runs there may be at once."""
    from deployments import pool

    pool.set_limit(limit)
