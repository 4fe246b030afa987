"""The identity providers that the login page offers: those that there are now, without waiting long to know.

They are saved in Prefect, whose server may have to be started first, which takes seconds. Whoever wants to log in gets
what is known by then; nobody asks twice at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool

from actions.sessions import Offer
from core.errors import DBackupError
from core.log import logger

PATIENCE = 1.5  # seconds that a page waits for what is new
FIRST_PATIENCE = 5.0  # seconds, while nothing is known yet
log = logger(service="login")


class Offered:
    """What is offered, as far as it is known."""

    def __init__(self, ask: Callable[[], Sequence[Offer]]) -> None:
        self._ask, self._patience = ask, FIRST_PATIENCE
        self._known: Sequence[Offer] = ()
        self._asking: asyncio.Task[None] | None = None

    async def now(self) -> Sequence[Offer]:
        """The providers that are known by now."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._learn())
        await asyncio.wait({self._asking}, timeout=self._patience)
        return self._known

    async def _learn(self) -> None:
        try:
            self._known = await run_in_threadpool(self._ask)
        except DBackupError as error:
            log.warning("it is not known which identity providers there are", reason=error.message)
        self._patience = PATIENCE
