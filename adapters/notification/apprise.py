"""Some hundred other services, through the library Apprise: ``apprise+`` before any URL that Apprise knows.

Its URLs are secrets as a whole. It says why something failed only in its log, which is read here and masked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from adapters.library_logs import hushed
from core.errors import ConfigurationError, NotificationError
from core.events import ALARMS, Event
from core.masking import MASK
from core.notifications import Notification

if TYPE_CHECKING:
    from apprise import NotifyBase

PREFIX = "apprise+"
LOG, HTTP = "apprise", "urllib3.connectionpool"  # whose log lines hold addresses
SHORTEST_SECRET = 6  # characters: shorter parts of a URL would blot out ordinary words
NAMELESS = "apprise://"  # Apprise's own API, and what people try first
HINT = (
    "write apprise+SERVICE://…, which is apprise+ before a URL of Apprise: for example apprise+ntfys://topic or "
    "apprise+json://host/path"
)


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
            nameless = url.lower().startswith(NAMELESS)
            told = "apprise:// does not say which service" if nameless else "this is not a URL for Apprise"
            raise ConfigurationError(told, hint=HINT)
        try:
            return cls(url=SecretStr(plain))
        except ValidationError:
            raise ConfigurationError(
                "Apprise knows no service for this URL, or something is missing in it", hint=HINT
            ) from None


def _service(url: str) -> NotifyBase | None:
    """The service behind a URL, or None. Apprise takes a moment to load, so only who needs it does."""
    from apprise import Apprise as Library

    with hushed(LOG):
        service: NotifyBase | None = Library.instantiate(url, suppress_exceptions=True)
    return service


class Apprise:
    """A service that Apprise knows."""

    channel: ClassVar[str] = "apprise"
    label: ClassVar[str] = "Apprise"
    schemes: ClassVar[tuple[str, ...]] = ("apprise",)
    usual_events: ClassVar[tuple[Event, ...]] = ALARMS
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
        with hushed(LOG, HTTP) as warnings:
            sent = service.notify(
                title=notification.title,
                body=notification.text,
                notify_type=_type(notification.event),
                body_format=NotifyFormat.TEXT,
            )
        if not sent:
            reason = self._without_address(" ".join(warnings[-2:])) or "it does not say why"
            raise NotificationError(
                f"Apprise could not deliver: {reason[:300]}",
                hint="check the service's URL and limits with the documentation of Apprise",
                permanent=False,
            )

    def _without_address(self, text: str) -> str:
        """One line, without any part of the URL: what is a token in it and what is not, only its service knows."""
        parts = re.split(r"[/:@?&=,\s]+", self._config.url.get_secret_value().partition("://")[2])
        for part in sorted(parts, key=len, reverse=True):
            for written in (part, unquote(part)):
                text = text.replace(written, MASK) if len(written) >= SHORTEST_SECRET else text
        return " ".join(text.split())


def _type(event: Event) -> Any:
    from apprise import NotifyType

    if event is Event.PARTIAL:
        return NotifyType.WARNING
    return NotifyType.SUCCESS if event.is_good else NotifyType.FAILURE
