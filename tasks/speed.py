"""How fast something goes, and how long it will still take: from what was seen in the last seconds."""

from __future__ import annotations

import time
from collections import deque

SEEN = 10  # looks that count, about one a second


class Speed:
    """Remembers how much was done when. What it is told of first is where it begins."""

    def __init__(self) -> None:
        self._what = ""
        self._seen: deque[tuple[float, int]] = deque(maxlen=SEEN)

    def figures(self, what: str, done: int, total: int) -> dict[str, str]:
        """What is known: ``done`` and ``total`` bytes, ``rate`` in bytes a second, ``seconds_left``; whole numbers.

        ``total`` is 0 where nobody knows it. Something else than before (``what``) begins anew.
        """
        if what != self._what:
            self._what = what
            self._seen.clear()
        self._seen.append((time.monotonic(), done))
        (since, before), (now, _) = self._seen[0], self._seen[-1]
        rate = (done - before) / (now - since) if now > since else 0.0
        known = {"done": done, "total": total or None, "rate": rate or None}
        if rate and total > done:
            known["seconds_left"] = (total - done) / rate
        return {name: str(round(value)) for name, value in known.items() if value is not None}
