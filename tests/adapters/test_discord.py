"""Discord: within its documented limits, patient when it asks for it, and silent about the webhook."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

from adapters.notification.discord import Discord, DiscordConfig, payload
from core.errors import ConfigurationError, ConnectionError, NotificationError, RateLimited
from core.events import Event
from services.notifications import deliver
from tests.adapters.notification_contract import NotificationContract, Scene, message
from tests.servers.certificates import Certificates
from tests.servers.processes import free_port
from tests.servers.webhooks import TOKEN, WEBHOOK, Answer, Webhooks, shown
from tests.waiting import until


def url(port: int, certificates: Certificates, token: str = TOKEN, options: str = "&timeout=5") -> str:
    return f"https://localhost:{port}/api/webhooks/{WEBHOOK}/{token}?ca_file={certificates.authority}{options}"


def opened(webhook: str) -> Discord:
    return Discord(DiscordConfig.from_url(webhook))


@pytest.fixture
def channel(discord: Webhooks, certificates: Certificates) -> Discord:
    return opened(url(discord.port, certificates))


@pytest.fixture
def scene(channel: Discord, discord: Webhooks, certificates: Certificates) -> Scene:
    return Scene(
        channel,
        opened(url(discord.port, certificates, "another-token")),
        opened(url(free_port(), certificates)),
        lambda count: [shown(one) for one in discord.taken[:count]],
        (TOKEN, "another-token"),
    )


class TestDiscord(NotificationContract):
    """The whole contract."""


@pytest.mark.parametrize(
    "wrong",
    [
        {"embeds": [{"title": "x" * 257}]},
        {"embeds": [{"description": "x" * 4097}]},
        {"embeds": [{"fields": [{"name": "n", "value": "x" * 1025}]}]},
        {"embeds": [{"fields": [{"name": "n" * 257, "value": "x"}]}]},
        {"embeds": [{"fields": [{"name": "n", "value": ""}]}]},
        {"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]},
        {"embeds": [{"description": "x" * 4000, "fields": [{"name": "n", "value": "v" * 1000}] * 2}]},
        {"embeds": [{"footer": {"text": "x" * 2049}}]},
        {"embeds": [{"title": "😀" * 129}]},
        {"embeds": [{"title": "x"}], "username": "x" * 81},
        {"embeds": []},
    ],
)
def test_the_server_of_these_tests_enforces_the_limits(
    discord: Webhooks, certificates: Certificates, wrong: dict[str, Any]
) -> None:
    request = urllib.request.Request(url(discord.port, certificates), json.dumps(wrong).encode())
    context = ssl.create_default_context(cafile=certificates.authority)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, context=context)
    assert refusal.value.code == 400
    assert discord.taken == []


def test_nobody_is_mentioned_and_nothing_is_markup(channel: Discord, discord: Webhooks) -> None:
    channel.send(message(subject="Backup of my_db_2 [click](http://evil.example) @everyone <@1>"))
    (taken,) = discord.taken
    assert taken["allowed_mentions"] == {"parse": []}
    assert "my\\_db\\_2 \\[click\\]\\(http://evil.example\\)" in taken["embeds"][0]["title"]
    assert "\\<@1\\>" in taken["embeds"][0]["title"]


def test_good_partial_and_bad_news_differ_in_colour() -> None:
    colours = {payload(message(event))["embeds"][0]["color"] for event in (Event.SUCCESS, Event.PARTIAL, Event.FAILURE)}
    assert len(colours) == 3


def test_a_text_is_never_cut_within_a_character_or_an_escape(channel: Discord, discord: Webhooks) -> None:
    for length in range(240, 260):
        channel.send(message(subject="x" * length + "_😀" * 20))
    for taken in discord.taken:
        title = taken["embeds"][0]["title"]
        assert title.endswith("…")
        assert not title.endswith("\\…") or title.endswith("\\\\…")


def test_a_channel_that_asks_to_wait_is_left_alone_for_so_long(channel: Discord, discord: Webhooks) -> None:
    discord.next += [
        Answer(429, {"message": "You are being rate limited.", "retry_after": 0.4, "global": False}, after=0.4),
        Answer(429, headers={"Retry-After": "1"}, after=1.0),
    ]
    deliver(channel, message(), pauses=(0.0, 0.0))
    assert (len(discord.taken), discord.requests, discord.too_early) == (1, 3, 0)


def test_a_channel_that_asks_to_wait_too_long_is_given_up_at_once(channel: Discord, discord: Webhooks) -> None:
    discord.next.append(Answer(429, {"retry_after": 3600}))
    with pytest.raises(RateLimited, match="3600 seconds"):
        deliver(channel, message(), pauses=(0.0, 0.0))
    assert discord.requests == 1


@pytest.mark.parametrize("wanted", ["soon", -5, None, float("nan")])
def test_an_odd_wish_to_wait_is_no_error_of_its_own(channel: Discord, discord: Webhooks, wanted: object) -> None:
    discord.next.append(Answer(429, {"retry_after": wanted}))
    with pytest.raises(RateLimited) as refusal:
        channel.send(message())
    assert 0 <= refusal.value.retry_after <= 5


def test_a_failing_server_is_tried_again_and_hears_the_message_once(channel: Discord, discord: Webhooks) -> None:
    discord.next += [Answer(500), Answer(502)]
    deliver(channel, message(), pauses=(0.0, 0.0))
    assert len(discord.taken) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404, {"message": "Unknown Webhook"}), "Unknown Webhook"),
        (Answer(401, {"message": "Invalid Webhook Token"}), "Invalid Webhook Token"),
        (Answer(400, {"message": "Invalid Form Body"}), "Invalid Form Body"),
        (Answer(302, headers={"Location": "https://localhost:1/elsewhere"}), "302"),
    ],
)
def test_a_refusal_is_final_and_says_why(channel: Discord, discord: Webhooks, answer: Answer, said: str) -> None:
    discord.next.append(answer)
    with pytest.raises(NotificationError, match=said) as refusal:
        deliver(channel, message(), pauses=(0.0, 0.0))
    assert refusal.value.permanent
    assert refusal.value.hint
    assert discord.requests == 1


def test_a_server_that_never_answers_is_given_up_after_a_time_that_is_named(
    discord: Webhooks, certificates: Certificates
) -> None:
    discord.hanging = True
    with pytest.raises(ConnectionError, match="within 1 seconds"):
        opened(url(discord.port, certificates, options="&timeout=1")).send(message())
    until(lambda: discord.requests, "the request to have arrived")


def test_a_server_that_nobody_vouches_for_gets_nothing(discord: Webhooks, certificates: Certificates) -> None:
    untrusting = url(discord.port, certificates).replace(f"ca_file={certificates.authority}&", "")
    with pytest.raises(ConnectionError, match="not trusted") as refusal:
        opened(untrusting).send(message())
    assert refusal.value.permanent
    assert "ca_file" in refusal.value.hint
    assert discord.requests == 0


@pytest.mark.parametrize(
    "wrong",
    [
        f"http://discord.com/api/webhooks/1/{TOKEN}",
        f"https://discord.com/api/webhooks/{TOKEN}",
        f"https://discord.com/elsewhere/1/{TOKEN}",
        f"https://discord.com/api/webhooks/1/{TOKEN}?color=red",
        f"https://discord.com/api/webhooks/1/{TOKEN}?timeout=never",
        f"https://discord.com/api/webhooks/1/{TOKEN}#x",
        f"https://[discord.com/api/webhooks/1/{TOKEN}",
    ],
)
def test_what_is_no_webhook_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        DiscordConfig.from_url(wrong)
    assert TOKEN not in f"{refusal.value!r} {refusal.value.hint}"


def test_a_thread_of_discord_can_be_named() -> None:
    config = DiscordConfig.from_url(f"https://discord.com/api/v10/webhooks/1/{TOKEN}?thread_id=42")
    assert config.url.get_secret_value().endswith("?thread_id=42")
    assert TOKEN not in repr(config)
