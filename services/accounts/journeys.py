"""A login that is on its way through an identity provider, kept by the browser that began it.

The browser holds it sealed: nobody else can begin or change one, no server has to remember it, and an answer that
comes to another browser finds nothing to be compared with. It ends after ten minutes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import AuthenticationError, EncryptionError
from core.identity import Departure
from core.sealing import EncryptionKeys

LIFETIME = timedelta(minutes=10)
_PLACE = "single sign-on"


@dataclass(frozen=True)
class Journey:
    """Which provider somebody went to, what was agreed, and which page they wanted to see."""

    provider: str
    departure: Departure
    after: str
    until: datetime


def sealed(keys: EncryptionKeys, journey: Journey) -> str:
    """The journey as its browser keeps it."""
    facts = dataclasses.asdict(journey) | {"until": journey.until.isoformat()}
    del facts["departure"]["url"]  # it repeats the others, and cookies are small
    return keys.seal(json.dumps(facts, separators=(",", ":")), _PLACE)


def opened(keys: EncryptionKeys, ticket: str, provider: str, now: datetime) -> Journey:
    """The journey behind a ticket. Raises AuthenticationError for one to elsewhere, and for one that is over."""
    try:
        facts = json.loads(keys.unseal(ticket, _PLACE))
        departure = Departure(url="", **facts.pop("departure"))
        journey = Journey(**facts | {"departure": departure, "until": datetime.fromisoformat(facts["until"])})
    except (EncryptionError, ValueError, KeyError, TypeError):
        raise over() from None
    if journey.provider != provider or journey.until <= now:
        raise over()
    return journey


def over() -> AuthenticationError:
    """Why nobody is let in who began no login here, or began it too long ago."""
    return AuthenticationError(
        "this login was not begun in this browser, or too long ago", hint="begin again at the login page"
    )
