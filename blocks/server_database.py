"""How the embedded Prefect server writes to its SQLite database; imported only once Prefect's settings are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class WaitingSqlite(AioSqliteConfiguration):
    """Transactions that wait for their turn to write at their beginning.

    A deferred one reads first; when another one writes meanwhile, SQLite refuses its first write as busy, at once and
    whatever the timeout. With twenty runs in the queue Prefect then answers 503 to most of who asks.
    """

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        del with_for_update
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction
