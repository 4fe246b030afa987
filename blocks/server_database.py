"""How the embedded Prefect server writes to its SQLite database; imported only once Prefect's settings are made."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Lock
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

LONGEST_SECONDS = 60.0  # that SQLite itself would wait; whoever then still has no turn hears from it why
_turns: WeakKeyDictionary[AbstractEventLoop, Lock] = WeakKeyDictionary()


class WaitingSqlite(AioSqliteConfiguration):
    """Transactions that wait for their turn to write at their beginning, in the order in which they came.

    A deferred one reads first; when another one writes meanwhile, SQLite refuses its first write as busy, at once and
    whatever the timeout. With twenty runs in the queue Prefect then answers 503 to most of who asks. Left to SQLite,
    each would wait with a connection in hand, of which there are fifteen, and whoever has the turn may need a second
    one: twenty who asked at once, after a restart, waited half a minute for each other.
    """

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        del with_for_update
        turn = _turns.setdefault(asyncio.get_running_loop(), Lock())
        has_turn = False
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                has_turn = await turn.acquire()
        try:
            async with super().begin_transaction(session, with_for_update=True) as transaction:
                yield transaction
        finally:
            if has_turn:
                turn.release()
