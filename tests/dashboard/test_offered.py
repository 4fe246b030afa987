"""The login page knows the providers there are, and waits for nobody to tell it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from actions.sessions import Offer
from core.errors import ConnectionError
from dashboard import offered
from dashboard.offered import Offered

CORP, OTHER = Offer("corp", "Corp"), Offer("other", "Other")


class Saved:
    """What is saved, behind a server that can hang or be away."""

    def __init__(self) -> None:
        self.offers: Sequence[Offer] = (CORP,)
        self.away = False
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> Sequence[Offer]:
        self.asked += 1
        self.answers.wait(20)
        if self.away:
            raise ConnectionError("nobody answers")
        return self.offers


def test_what_was_added_is_offered_at_once() -> None:
    async def look(saved: Saved) -> None:
        offers = Offered(saved)
        assert await offers.now() == (CORP,)
        saved.offers = (CORP, OTHER)
        assert await offers.now() == (CORP, OTHER)

    asyncio.run(look(Saved()))


def test_a_server_that_hangs_or_is_away_hides_nothing_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offered, "PATIENCE", 0.01)

    async def look(saved: Saved) -> None:
        offers = Offered(saved)
        await offers.now()
        saved.answers.clear()
        assert await asyncio.gather(*(offers.now() for _ in range(50))) == [(CORP,)] * 50
        assert saved.asked == 2  # nobody asks twice at the same time
        saved.away = True
        saved.answers.set()
        assert await offers.now() == (CORP,)

    asyncio.run(look(Saved()))
