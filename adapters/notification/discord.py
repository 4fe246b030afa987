"""Messages to a channel of Discord, through a webhook. Whoever knows its URL can post, so all of it is a secret.

Discord refuses a message that is over one of its limits. Each text is cut to its own, and the least important ones
go when all of it together is too long. Its limits count characters; which kind it does not say, so a character
outside the basic plane counts as two here. Nothing in a message can mention anybody, or be taken for markup.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from adapters.certificates import verifying
from adapters.http import body_of, translated
from adapters.library_logs import hushed
from core.errors import ConfigurationError, NotificationError, RateLimited
from core.events import ALARMS, Event
from core.masking import remember
from core.notifications import Fact, Notification

TITLE, DESCRIPTION, FIELDS, NAME, VALUE, TOTAL = 256, 4096, 25, 256, 1024, 6000  # Discord's limits
MARKUP = re.compile(r"([\\*_~`|<>\[\]()#])")
WEBHOOK = re.compile(r"/api/(?:v\d+/)?webhooks/(?P<id>\d+)/(?P<token>[\w-]+)", re.ASCII)
HINT = "copy it from Discord: the channel's settings, Integrations, Webhooks, Copy Webhook URL"
COLOURS = {True: 0x2E7D32, False: 0xC62828}
AMBER = 0xF9A825
DEFAULT_WAIT = 5.0  # seconds, for an answer that asks to wait and does not say how long


class DiscordConfig(BaseModel):
    """One webhook. ``timeout`` is in seconds. With ``ca_file`` only its authorities are believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr
    ca_file: str | None = None
    timeout: int = Field(default=10, ge=1, le=300)

    @field_validator("url")
    @classmethod
    def _webhook(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme != "https" or not parts.hostname or not WEBHOOK.fullmatch(parts.path) or parts.fragment:
            raise ValueError("it is no webhook of Discord")
        return url

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read the webhook's URL; ``ca_file``, ``timeout`` and Discord's ``thread_id`` may be options of it.

        Raises ConfigurationError, which never repeats any part of it.
        """
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            thread = {"thread_id": options.pop("thread_id")} if "thread_id" in options else {}
            plain = parts._replace(scheme=parts.scheme.lower(), query=urlencode(thread)).geturl()
            return cls.model_validate({**options, "url": plain})
        except ValidationError as failure:
            problem = failure.errors(include_input=False, include_url=False)[0]
            if problem["loc"] == ("url",):
                raise ConfigurationError("this is not the URL of a Discord webhook", hint=HINT) from None
            raise ConfigurationError(
                f"the option '{problem['loc'][0]}' of a Discord webhook cannot be used: {problem['msg']}",
                hint="the options are: ca_file, thread_id, timeout",
            ) from None
        except ValueError:
            raise ConfigurationError("this is not the URL of a Discord webhook", hint=HINT) from None


class Discord:
    """A webhook of Discord."""

    channel: ClassVar[str] = "discord"
    label: ClassVar[str] = "Discord"
    schemes: ClassVar[tuple[str, ...]] = ("https",)
    usual_events: ClassVar[tuple[Event, ...]] = ALARMS
    config_type: ClassVar[type[DiscordConfig]] = DiscordConfig

    def __init__(self, config: DiscordConfig) -> None:
        self._config = config
        self._url = urlsplit(config.url.get_secret_value())
        webhook = WEBHOOK.fullmatch(self._url.path)
        self._id = webhook["id"] if webhook else ""
        remember(webhook["token"] if webhook else self._url.path)

    def describe(self) -> str:
        """Which webhook of which host, by the end of its number."""
        return f"Discord webhook …{self._id[-4:]} at {self._url.hostname}"

    def send(self, notification: Notification) -> None:
        """Post the message and wait for Discord to confirm it."""
        query = "&".join(filter(None, [self._url.query, "wait=true"]))
        verify = verifying(self._config.ca_file) if self._config.ca_file else True
        client = httpx.Client(verify=verify, timeout=self._config.timeout)
        with translated("Discord", self._url.hostname, self._config.timeout), hushed("httpx"), client:
            url = self._url._replace(query=query).geturl()
            with client.stream("POST", url, json=payload(notification)) as response:
                answer = _answer(response)
        self._require_accepted(response, answer)

    def _require_accepted(self, response: httpx.Response, answer: Mapping[str, Any]) -> None:
        said = str(answer.get("message", ""))[:200] or response.reason_phrase
        match response.status_code:
            case 200 | 204:
                return
            case 401 | 403 | 404:
                raise NotificationError(
                    f"Discord does not know this webhook ({response.status_code}: {said})",
                    hint=f"it was removed, or the URL is incomplete; make another one and {HINT}",
                )
            case 429:
                seconds = _wait(response, answer)
                raise RateLimited(
                    f"Discord takes no more messages for {seconds:g} seconds",
                    hint="fewer jobs, or fewer events, on one webhook",
                    retry_after=seconds,
                )
            case status if status >= 500:
                raise NotificationError(
                    f"Discord failed ({status}: {said})", hint="it usually recovers by itself", permanent=False
                )
            case status:
                raise NotificationError(
                    f"Discord refused the message ({status}: {said})", hint="is the URL that of a Discord webhook?"
                )


def payload(notification: Notification) -> dict[str, Any]:
    """The body of the request, within every limit of Discord's."""
    reasons = [fact.value for fact in notification.facts if fact.name in ("Reason", "And")]
    advice = [f"→ {fact.value}" for fact in notification.facts if fact.name == "What to do"]
    title = _cut(_plain(notification.title), TITLE)
    description = _cut(_plain("\n".join([*reasons, *advice])), DESCRIPTION)
    others = [fact for fact in notification.facts if fact.name not in ("Reason", "And", "What to do")]
    embed = {
        "title": title,
        "description": description,
        "color": AMBER if notification.event is Event.PARTIAL else COLOURS[notification.event.is_good],
        "fields": list(_fields(others, TOTAL - _length(title) - _length(description))),
        "timestamp": notification.at.isoformat(),
    }
    return {
        "username": "dbackup",
        "allowed_mentions": {"parse": []},
        "embeds": [{name: value for name, value in embed.items() if value not in ("", [])}],
    }


def _fields(facts: list[Fact], room: int) -> Iterator[dict[str, Any]]:
    """As many facts as there is room for, in characters."""
    for fact in facts[:FIELDS]:
        name, value = _cut(_plain(fact.name), NAME), _cut(_plain(fact.value), VALUE)
        room -= _length(name) + _length(value)
        if room < 0:
            return
        yield {"name": name, "value": value, "inline": len(fact.value) <= 40}


def _plain(text: str) -> str:
    """The text as it is to be read, whatever Discord's markup would make of it."""
    return MARKUP.sub(r"\\\1", text)


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, limit: int) -> str:
    if _length(text) <= limit:
        return text
    kept = text.encode("utf-16-le")[: (limit - 1) * 2].decode("utf-16-le", errors="ignore")
    escaped = len(kept) - len(kept.rstrip("\\"))
    return f"{kept[:-1] if escaped % 2 else kept}…"


def _answer(response: httpx.Response) -> dict[str, Any]:
    """What Discord says, if it is JSON and no longer than it ever is."""
    try:
        answer = json.loads(body_of(response))
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _wait(response: httpx.Response, answer: Mapping[str, Any]) -> float:
    try:
        seconds = float(answer.get("retry_after", response.headers.get("Retry-After", DEFAULT_WAIT)))
    except (TypeError, ValueError):
        return DEFAULT_WAIT
    return max(seconds, 0.0) if math.isfinite(seconds) else DEFAULT_WAIT
