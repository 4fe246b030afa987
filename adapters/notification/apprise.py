"""Some hundred other services, through the library Apprise: ``apprise+`` before any URL that Apprise knows.

Its URLs are secrets as a whole. It says why something failed only in its log, which is read here and masked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from adapters.notification.library_logs import mask_lines_of
from core.errors import ConfigurationError, NotificationError
from core.events import Event
from core.notifications import Notification

if TYPE_CHECKING:
    from apprise import NotifyBase

PREFIX = "apprise+"
LOG = "apprise"
HINT = "write apprise+ before a URL of Apprise, for example apprise+ntfys://topic or apprise+json://host/path"


class AppriseConfig(BaseModel):
    """One service, by its Apprise URL, without our prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        if _service(url.get_secret_value()) is None:
            raise ValueError("Apprise does not know this URL")
        return url

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``apprise+SERVICE://…``. Raises ConfigurationError, which never repeats any part of it."""
        prefix, plain = url[: len(PREFIX)].lower(), url[len(PREFIX) :]
        if prefix != PREFIX:
            raise ConfigurationError("this is not a URL for Apprise", hint=HINT)
        try:
            return cls(url=SecretStr(plain))
        except ValidationError:
            raise ConfigurationError(
                "Apprise knows no service for this URL, or something is missing in it", hint=HINT
            ) from None


def _service(url: str) -> NotifyBase | None:
    """The service behind a URL, or None. Apprise takes a moment to load, so only who needs it does."""
    from apprise import Apprise as Library

    _quieten()
    service: NotifyBase | None = Library.instantiate(url, suppress_exceptions=True)
    return service


def _quieten() -> None:
    """Whatever Apprise and what it uses write is masked, and Apprise's lines go nowhere by themselves."""
    mask_lines_of(LOG, "urllib3.connectionpool")
    logging.getLogger(LOG).propagate = False
    if not any(isinstance(one, logging.NullHandler) for one in logging.getLogger(LOG).handlers):
        logging.getLogger(LOG).addHandler(logging.NullHandler())


class Apprise:
    """A service that Apprise knows."""

    channel: ClassVar[str] = "apprise"
    label: ClassVar[str] = "Apprise"
    schemes: ClassVar[tuple[str, ...]] = ("apprise",)
    config_type: ClassVar[type[AppriseConfig]] = AppriseConfig

    def __init__(self, config: AppriseConfig) -> None:
        self._config = config

    def describe(self) -> str:
        """The kind of service; its address is a secret."""
        return f"{self._config.url.get_secret_value().partition(':')[0].lower()}, by Apprise"

    def send(self, notification: Notification) -> None:
        """Hand the message to Apprise. It does not say whether trying again can help, so it is tried again."""
        from apprise import NotifyFormat

        service = _service(self._config.url.get_secret_value())
        if service is None:
            raise NotificationError("Apprise does not know this URL any more", hint=HINT)
        with _heard() as lines:
            sent = service.notify(
                title=notification.title,
                body=notification.text,
                notify_type=_type(notification.event),
                body_format=NotifyFormat.TEXT,
            )
        if not sent:
            reason = " ".join(" ".join(lines[-2:]).split()) or "it does not say why"
            raise NotificationError(
                f"Apprise could not deliver: {reason[:300]}",
                hint="check the service's URL and limits with the documentation of Apprise",
                permanent=False,
            )


def _type(event: Event) -> Any:
    from apprise import NotifyType

    if event is Event.PARTIAL:
        return NotifyType.WARNING
    return NotifyType.SUCCESS if event.is_good else NotifyType.FAILURE


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The warnings that Apprise writes in this thread; other threads may be sending at the same time."""
    lines: list[str] = []
    listener = _Listener(lines)
    logging.getLogger(LOG).addHandler(listener)
    try:
        yield lines
    finally:
        logging.getLogger(LOG).removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines, self._thread = lines, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())
