"""What every notification channel promises, whatever lies behind it.

A test module subclasses :class:`NotificationContract` and gives one fixture, ``scene``: a channel that works, one
that is refused and one whose other side cannot be reached, what has arrived, and the secrets that none may show.
The memory fake passes the same suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from core.errors import AdapterError
from core.events import Event
from core.masking import remember
from core.notifications import Notification, Place
from core.ports import NotificationAdapter
from core.reports import Failure
from core.states import RunState

SECRET = "a-secret-that-a-tool-quoted"


@dataclass(frozen=True)
class Scene:
    """``arrived(n)`` waits until n messages have arrived and gives the text of each, markup removed."""

    channel: NotificationAdapter
    refused: NotificationAdapter
    unreachable: NotificationAdapter
    arrived: Callable[[int], list[str]]
    secrets: tuple[str, ...] = ()


def message(event: Event = Event.FAILURE, **changes: object) -> Notification:
    """A message with everything in it."""
    facts = {
        "event": event,
        "subject": "Backup of shop",
        "job": "shop",
        "source": "shop on db.example:5432",
        "state": RunState.FAILED,
        "backup_id": "20261123T030527Z-55c03d",
        "dump_size": 13_900_000,
        "size": 8_500_000,
        "seconds": 125.0,
        "places": (Place("local", True, "read back"), Place("nas", False, "not complete")),
        "failures": (Failure(subject="nas", reason="the disk is full: 12 bytes are missing", hint="make room"),),
        "at": datetime(2026, 11, 23, 3, 5, 27, tzinfo=UTC),
    }
    return Notification(**{**facts, **changes})  # type: ignore[arg-type]


class NotificationContract:
    """The suite. ``scene`` is given by the subclass's module."""

    def test_whoever_is_told_learns_everything_that_matters(self, scene: Scene) -> None:
        scene.channel.send(message())
        (text,) = scene.arrived(1)
        for fact in ("Backup of shop failed", "shop on db.example:5432", "FAILED", "20261123T030527Z-55c03d",
                     "13.9 MB dumped, 8.5 MB stored", "2 min 5 s", "✓ local, read back", "✗ nas, not complete",
                     "nas: the disk is full: 12 bytes are missing", "make room"):  # fmt: skip
            assert fact in text, fact

    @pytest.mark.parametrize("event", list(Event))
    def test_every_event_can_be_told(self, scene: Scene, event: Event) -> None:
        scene.channel.send(message(event))
        assert message(event).title in scene.arrived(1)[0]

    def test_a_message_with_nothing_but_a_title_can_be_told(self, scene: Scene) -> None:
        scene.channel.send(Notification(Event.TEST, "This channel"))
        assert "This channel works" in scene.arrived(1)[0]

    def test_a_message_that_is_too_long_arrives_cut(self, scene: Scene) -> None:
        failures = tuple(Failure(subject=f"d{number}", reason="😀_*" * 2000, hint="x" * 5000) for number in range(40))
        places = tuple(Place(f"place-{number} {'y' * 2000}", False) for number in range(60))
        scene.channel.send(message(subject="Backup of " + "s" * 3000, failures=failures, places=places))
        (text,) = scene.arrived(1)
        assert "Backup of sss" in text
        assert "d0: 😀" in text

    def test_no_text_can_break_out_of_its_place(self, scene: Scene) -> None:
        evil = "shop\r\nBcc: victim@example.org\r\n\r\n<b>@everyone</b>\x00\x1b[31m\u202e**"
        scene.channel.send(message(subject=f"Backup of {evil}", job=evil, source=evil))
        (text,) = scene.arrived(1)
        assert "Backup of shop Bcc: victim@example.org <b>@everyone</b>" in text
        assert not re.search("[\x00\x1b\u202e]", text)

    def test_a_secret_that_the_program_knows_is_masked(self, scene: Scene) -> None:
        remember(SECRET)
        scene.channel.send(message(subject=f"Backup of {SECRET}", job=SECRET))
        (text,) = scene.arrived(1)
        assert SECRET not in text
        assert "Backup of ****" in text

    def test_a_refused_message_is_an_error_with_advice(self, scene: Scene) -> None:
        with pytest.raises(AdapterError) as refusal:
            scene.refused.send(message())
        assert refusal.value.hint
        self._tells_no_secret(scene, refusal.value)

    def test_a_channel_that_cannot_be_reached_is_worth_another_try(self, scene: Scene) -> None:
        with pytest.raises(AdapterError) as failure:
            scene.unreachable.send(message())
        assert not failure.value.permanent
        assert failure.value.hint
        self._tells_no_secret(scene, failure.value)

    def test_what_it_is_called_is_no_secret(self, scene: Scene) -> None:
        assert scene.channel.describe()
        for text in (scene.channel.describe(), repr(scene.channel)):
            assert [secret for secret in scene.secrets if secret in text] == []

    def test_no_log_line_of_any_library_shows_a_secret(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("DEBUG"):
            scene.channel.send(message())
            for failing in (scene.refused, scene.unreachable):
                with pytest.raises(AdapterError):
                    failing.send(message())
        assert [secret for secret in scene.secrets if secret in caplog.text] == []

    def _tells_no_secret(self, scene: Scene, error: AdapterError) -> None:
        shown = f"{error!r} {error.message} {error.hint} {error.__cause__!r} {error.__suppress_context__}"
        assert [secret for secret in scene.secrets if secret in shown] == []
        assert error.__context__ is None or error.__suppress_context__
