"""Telling people that a run begins and how it ended, but for being cancelled, which somebody did on purpose.

Channels are told side by side. One that cannot be told is in the log and in the report, and changes nothing else:
a backup is as good or bad as it was.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from prefect.futures import PrefectFuture

from core.errors import DBackupError, UnexpectedError
from core.events import Event
from core.jobs import NotifyRule
from core.log import logger
from core.masking import mask
from core.notifications import Notification
from core.ports import NotificationAdapter
from core.reports import Delivery
from flows.sealed_flow import Report, failure_of
from tasks.notifications import Story, notify, opened, wanted_events

log = logger(service="notification")


@dataclass(frozen=True)
class UnderWay:
    """A message on its way to a channel."""

    channel: str
    event: Event
    future: PrefectFuture[None]


class Notifier(Generic[Report]):
    """Tells the channels of some rules that a run has begun, and once how it ended."""

    def __init__(self, rules: Sequence[NotifyRule], story: Story[Report]) -> None:
        self._rules = rules
        self._story: Story[Report] = story
        self._channels: Mapping[str, NotificationAdapter | None] = {}
        self._begun: Sequence[UnderWay] = ()
        self._told = False

    def begin(self) -> None:
        """Tell that the run begins, without waiting until it is told. Raises nothing.

        Channels are opened now: Prefect, where they are saved, may be away when there is something to tell.
        """
        try:
            self._channels = {rule.channel: opened(rule) for rule in self._rules}
            self._begun = self._sent(self._story.of_start)
        except Exception as error:  # noqa: BLE001 - as below
            log.error("nobody could be told of the start", reason=mask(str(error)))

    def told(self, report: Report) -> Report:
        """Tell of the report; gives it with what became of the messages. Raises nothing."""
        return report.model_copy(update={"notifications": self._tell(lambda: self._story.of_report(report))})

    def told_of(self, error: DBackupError) -> Sequence[Delivery]:
        """Tell of the error that ended the run, unless its report has been told already. Raises nothing."""
        return () if self._told else self._tell(lambda: self._story.of_error(error))

    def _tell(self, tale: Callable[[], Notification]) -> tuple[Delivery, ...]:
        self._told = True
        if not self._rules:
            return ()
        try:
            # Before the end is told: a channel hears of both in their order.
            earlier: tuple[Delivery, ...] = _outcomes(self._begun)
            return (*earlier, *_outcomes(self._sent(tale)))
        except Exception as error:  # noqa: BLE001 - a message that fails must not make a failure of a good backup
            log.error("nobody could be told", reason=mask(str(error)), trace=mask(traceback.format_exc()))
            reason = f"unexpected {type(error).__name__}: {mask(str(error))}"
            return tuple(Delivery(channel=one.channel, delivered=False, reason=reason) for one in self._rules)

    def _sent(self, tale: Callable[[], Notification | None]) -> list[UnderWay]:
        """Send what is told to who wants to hear of it, side by side."""
        notification = tale() if self._rules else None
        if notification is None:
            return []
        channels = [(rule, self._channels.get(rule.channel)) for rule in self._rules]
        return [
            UnderWay(rule.channel, notification.event, notify.submit(rule, notification, channel))
            for rule, channel in channels
            if notification.concerns(wanted_events(rule, channel))
        ]


def _outcomes(under_way: Sequence[UnderWay]) -> tuple[Delivery, ...]:
    """Wait for messages, and say what became of them."""
    outcomes = [(one, failure_of(one.channel, one.future)) for one in under_way]
    for one, failure in outcomes:
        if failure:
            log.warning("a channel could not be told", channel=one.channel, reason=failure.reason, hint=failure.hint)
    return tuple(
        Delivery(
            channel=one.channel,
            event=one.event,
            delivered=failure is None,
            reason=failure.reason if failure else "",
            hint=failure.hint if failure else "",
        )
        for one, failure in outcomes
    )


@contextmanager
def notifying(rules: Sequence[NotifyRule], story: Story[Report]) -> Iterator[Notifier[Report]]:
    """Tell that a run begins. Within this context it may tell of its report; when an error ends it, that is told.

    Who could not be told stands in the notes of the error.
    """
    notifier = Notifier(rules, story)
    notifier.begin()
    try:
        yield notifier
    except Exception as error:
        for delivery in notifier.told_of(_ours(error)):
            if not delivery.delivered:
                error.add_note(str(delivery))
        raise


def _ours(error: Exception) -> DBackupError:
    if isinstance(error, DBackupError):
        return error
    return UnexpectedError(f"unexpected {type(error).__name__}: {mask(str(error))}", hint="see the log of the run")
