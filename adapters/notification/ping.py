"""Pings for a dead man's switch: a service that raises the alarm when nobody has called its URL for too long.

``ping+https://host/path`` is called when a run begins and when it ends. How a service wants to hear of each is a line
in :data:`SERVICES`, and each of its columns an option of the URL. Whoever knows the URL can keep the alarm silent, so
all of it is a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from adapters.certificates import verifying
from adapters.http import body_of, translated
from adapters.library_logs import hushed
from core.errors import ConfigurationError, NotificationError, RateLimited
from core.events import RUNS, Event
from core.masking import remember
from core.notifications import Notification

PREFIX = "ping+"
LONGEST_BODY = 10_000  # bytes: what every version of the services keeps
LONGEST_TITLE = 250  # characters, where the message is a part of the URL
SILENT = "none"  # instead of a suffix: of this the service hears nothing
RATE_LIMIT_PAUSE = 30.0  # seconds, where a service does not say how long it wants to be left alone
HINT = "copy the ping URL from the service and write ping+ before it, for example ping+https://hc-ping.com/your-uuid"

Service = Literal["healthchecks", "kuma", "cronitor"]


@dataclass(frozen=True)
class Manner:
    """How a service is told: a suffix, ``/path`` or ``?query``, for each of the three things it can hear of.

    ``text`` is the parameter of the URL that takes the message; empty where its body does.
    """

    start: str
    success: str
    fail: str
    text: str = ""


SERVICES: Mapping[Service, Manner] = {
    "healthchecks": Manner("/start", "", "/fail"),
    "kuma": Manner(SILENT, "?status=up", "?status=down", "msg"),
    "cronitor": Manner("?state=run", "?state=complete", "?state=fail", "message"),
}


class PingConfig(BaseModel):
    """One check of a service. ``timeout`` is in seconds. With ``ca_file`` only its authorities are believed.

    ``start``, ``success`` and ``fail`` replace what :data:`SERVICES` says of the service: a suffix that begins with
    ``/`` or ``?``, nothing for the URL itself, or ``none`` for no call at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr
    service: Service = "healthchecks"
    start: str | None = None
    success: str | None = None
    fail: str | None = None
    ca_file: str | None = None
    timeout: int = Field(default=10, ge=1, le=300)

    @field_validator("url")
    @classmethod
    def _callable(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
            raise ValueError("it is no URL that can be called")
        return url

    @field_validator("start", "success", "fail")
    @classmethod
    def _suffix(cls, suffix: str | None) -> str | None:
        if suffix and suffix != SILENT and suffix[0] not in "/?":
            raise ValueError(f"a suffix begins with / or ?, or is {SILENT}")
        return suffix

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``ping+https://…``; what is no option of ours in its query stays with the URL.

        Raises ConfigurationError, which never repeats any part of it.
        """
        if url[: len(PREFIX)].lower() != PREFIX:
            raise ConfigurationError("this is not a ping URL", hint=HINT)
        try:
            parts = urlsplit(url[len(PREFIX) :])
            query = parse_qsl(parts.query, keep_blank_values=True)
            ours = {name: value for name, value in query if name in cls.model_fields and name != "url"}
            rest = [(name, value) for name, value in query if name not in ours]
            plain = parts._replace(scheme=parts.scheme.lower(), query=urlencode(rest)).geturl()
            return cls.model_validate({**ours, "url": plain})
        except ValidationError as failure:
            problem = failure.errors(include_input=False, include_url=False)[0]
            if problem["loc"] == ("url",):
                raise ConfigurationError("this is not a ping URL", hint=HINT) from None
            raise ConfigurationError(
                f"the option '{problem['loc'][0]}' of a ping URL cannot be used: {problem['msg']}",
                hint="the options are: service (healthchecks, kuma, cronitor), start, success, fail, ca_file, timeout",
            ) from None
        except ValueError:
            raise ConfigurationError("this is not a ping URL", hint=HINT) from None

    def suffix(self, event: Event) -> str:
        """What is called of the URL for an event; ``none`` when the service is not to hear of it."""
        usual = SERVICES[self.service]
        if event is Event.STARTED:
            return usual.start if self.start is None else self.start
        if event.is_good:
            return usual.success if self.success is None else self.success
        return usual.fail if self.fail is None else self.fail


class Ping:
    """A URL that is called when a run begins and ends."""

    channel: ClassVar[str] = "ping"
    label: ClassVar[str] = "Ping (healthchecks.io, Uptime Kuma, Cronitor)"
    schemes: ClassVar[tuple[str, ...]] = ("ping",)
    usual_events: ClassVar[tuple[Event, ...]] = RUNS
    config_type: ClassVar[type[PingConfig]] = PingConfig

    def __init__(self, config: PingConfig) -> None:
        self._config = config
        self._url = urlsplit(config.url.get_secret_value())
        for secret in _secrets_of(self._url):
            remember(secret)

    def describe(self) -> str:
        """Which service at which host."""
        return f"ping of {self._config.service} at {self._url.hostname}"

    def send(self, notification: Notification) -> None:
        """Call the URL once. Does nothing for what the service is not to hear of."""
        suffix = self._config.suffix(notification.event)
        if suffix == SILENT:
            return
        url, body = _request(self._url, suffix, SERVICES[self._config.service].text, notification)
        verify = verifying(self._config.ca_file) if self._config.ca_file else True
        client = httpx.Client(verify=verify, timeout=self._config.timeout)
        with translated("the ping service", self._url.hostname, self._config.timeout), hushed("httpx"), client:
            headers = {"Content-Type": "text/plain; charset=utf-8"} if body else {}
            with client.stream("POST" if body else "GET", url, content=body, headers=headers) as response:
                said = body_of(response).decode(errors="replace").strip()
        _require_accepted(response, said)


def _secrets_of(url: SplitResult) -> list[str]:
    """The parts of a URL that identify the check: each alone could be quoted in an answer."""
    parts = [url.path.strip("/"), *url.path.split("/"), *(value for _, value in parse_qsl(url.query))]
    return [part for part in {*parts, url.password or ""} if len(part) >= 8]


def _request(url: SplitResult, suffix: str, parameter: str, notification: Notification) -> tuple[str, bytes | None]:
    """What is called, and the body that goes along; None where the message is a parameter of the URL."""
    path, _, query = suffix.partition("?")
    parameters = {**dict(parse_qsl(url.query, keep_blank_values=True)), **dict(parse_qsl(query))}
    if parameter:
        parameters[parameter] = _reason(notification)[:LONGEST_TITLE]
    called = url._replace(path=url.path.rstrip("/") + path if path else url.path, query=urlencode(parameters))
    return called.geturl(), None if parameter else _text(notification)


def _reason(notification: Notification) -> str:
    reasons = [fact.value for fact in notification.facts if fact.name == "Reason"]
    return ": ".join([notification.title, *reasons[:1]])


def _text(notification: Notification) -> bytes:
    """The message as a body, cut between two characters."""
    text = f"{notification.title}\n\n{notification.text}\n".encode()
    return text[:LONGEST_BODY].decode(errors="ignore").encode()


def _require_accepted(response: httpx.Response, said: str) -> None:
    """Whether the service took the ping: some of them answer 200 to a URL that they do not know."""
    if response.status_code == 429 or (response.is_success and said == "OK (rate limited)"):
        raise RateLimited(
            "the ping service takes no more pings for now",
            hint="fewer jobs on one check, or a check for each job",
            retry_after=_wait(response),
        )
    if response.status_code in (401, 403, 404, 410) or (response.is_success and _unknown(said)):
        raise NotificationError(
            f"the ping service does not know this check ({response.status_code}: {said[:200]})",
            hint=f"it was removed or paused there, or the URL is incomplete; {HINT}",
        )
    if not response.is_success:
        raise NotificationError(
            f"the ping service refused the ping ({response.status_code}: {said[:200] or response.reason_phrase})",
            hint="it usually recovers by itself" if response.is_server_error else "is the URL that of a check?",
            permanent=not response.is_server_error,
        )


def _unknown(said: str) -> bool:
    if said == "OK (not found)":
        return True
    try:
        answer: Any = json.loads(said)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("ok") is False


def _wait(response: httpx.Response) -> float:
    try:
        return max(float(response.headers.get("Retry-After", RATE_LIMIT_PAUSE)), 0.0)
    except ValueError:
        return RATE_LIMIT_PAUSE
