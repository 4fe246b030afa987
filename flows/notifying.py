"""Telling people how a run ended, whatever way it ends but being cancelled, which somebody did on purpose.

Channels are told side by side. One that cannot be told is in the log and in the report, and changes nothing else:
a backup is as good or bad as it was.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic

from core.errors import DBackupError, UnexpectedError
from core.jobs import NotifyRule
from core.log import logger
from core.masking import mask
from core.notifications import Notification
from core.reports import Delivery
from flows.sealed_flow import Report, failure_of
from tasks.notifications import Story, notify

log = logger(service="notification")


class Notifier(Generic[Report]):
    """Tells the channels of some rules, once."""

    def __init__(self, rules: Sequence[NotifyRule], story: Story[Report]) -> None:
        self._rules = rules
        self._story: Story[Report] = story
        self._told = False

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
            return _deliveries(self._rules, tale())
        except Exception as error:  # noqa: BLE001 - a message that fails must not make a failure of a good backup
            log.error("nobody could be told", reason=mask(str(error)), trace=mask(traceback.format_exc()))
            reason = f"unexpected {type(error).__name__}: {mask(str(error))}"
            return tuple(Delivery(channel=one.channel, delivered=False, reason=reason) for one in self._rules)


def _deliveries(rules: Sequence[NotifyRule], notification: Notification) -> tuple[Delivery, ...]:
    wanted = [rule for rule in rules if notification.event in rule.events]
    under_way = [(rule, notify.submit(rule, notification)) for rule in wanted]
    outcomes = [(rule.channel, failure_of(rule.channel, future)) for rule, future in under_way]
    for channel, failure in outcomes:
        if failure:
            log.warning("a channel could not be told", channel=channel, reason=failure.reason, hint=failure.hint)
    return tuple(
        Delivery(
            channel=channel,
            event=notification.event,
            delivered=failure is None,
            reason=failure.reason if failure else "",
            hint=failure.hint if failure else "",
        )
        for channel, failure in outcomes
    )


@contextmanager
def notifying(rules: Sequence[NotifyRule], story: Story[Report]) -> Iterator[Notifier[Report]]:
    """Within this context a run may tell of its report; when it ends with an error instead, that is told.

    Who could not be told stands in the notes of the error.
    """
    notifier = Notifier(rules, story)
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
