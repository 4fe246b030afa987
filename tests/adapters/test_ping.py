"""Pings: each thing that a service can hear of at its own address, and silence about the address."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.notification.ping import LONGEST_BODY, Ping, PingConfig
from core.errors import ConfigurationError, ConnectionError, NotificationError, RateLimited
from core.events import RUNS, Event
from core.reports import Failure
from services.notifications import deliver
from tests.adapters.notification_contract import NotificationContract, Scene, message
from tests.servers.certificates import Certificates
from tests.servers.processes import free_port
from tests.servers.webhooks import CHECK, Answer, Webhooks, serving

OTHER = "00000000-dead-4bad-8bad-000000000000"


def opened(port: int, path: str = f"/{CHECK}", options: str = "timeout=5") -> Ping:
    return Ping(PingConfig.from_url(f"ping+http://127.0.0.1:{port}{path}?{options}"))


@pytest.fixture
def scene(healthchecks: Webhooks) -> Scene:
    return Scene(
        opened(healthchecks.port),
        opened(healthchecks.port, f"/{OTHER}"),
        opened(free_port()),
        lambda count: [called.text for called in healthchecks.taken[:count]],
        (CHECK, OTHER),
    )


class TestPing(NotificationContract):
    """The whole contract."""


@pytest.mark.parametrize(
    ("event", "suffix"),
    [
        (Event.STARTED, "/start"),
        (Event.SUCCESS, ""),
        (Event.RESTORED, ""),
        (Event.RECOVERED, ""),
        (Event.FAILURE, "/fail"),
        (Event.PARTIAL, "/fail"),
        (Event.INTEGRITY, "/fail"),
        (Event.OVERDUE, "/fail"),
    ],
)
def test_a_beginning_a_good_end_and_a_bad_one_have_addresses_of_their_own(
    healthchecks: Webhooks, event: Event, suffix: str
) -> None:
    opened(healthchecks.port).send(message(event))
    assert [called.path for called in healthchecks.taken] == [f"/{CHECK}{suffix}"]


def test_who_has_chosen_nothing_hears_of_the_beginning_and_every_end_of_a_run() -> None:
    assert set(RUNS) == set(Event) - {Event.OVERDUE, Event.RECOVERED, Event.TEST}
    assert Ping.usual_events == RUNS


@pytest.mark.parametrize(
    ("service", "event", "query"),
    [
        ("kuma", Event.SUCCESS, {"status": ["up"], "msg": ["Backup of shop succeeded: nas: it broke"], "ping": [""]}),
        ("kuma", Event.FAILURE, {"status": ["down"], "msg": ["Backup of shop failed: nas: it broke"], "ping": [""]}),
        ("cronitor", Event.STARTED, {"state": ["run"], "message": ["Backup of shop has started: nas: it broke"]}),
        ("cronitor", Event.PARTIAL, {"state": ["fail"], "message": ["Backup of shop is partial: nas: it broke"]}),
    ],
)
def test_other_services_are_told_in_their_own_way(
    healthchecks: Webhooks, service: str, event: Event, query: dict[str, list[str]]
) -> None:
    copied = {"kuma": "status=up&msg=OK&ping=&", "cronitor": ""}[service]  # as the service shows its URL
    channel = opened(healthchecks.port, options=f"{copied}service={service}")
    channel.send(message(event, failures=(Failure(subject="nas", reason="it broke"),)))
    (called,) = healthchecks.taken
    assert (urlsplit(called.path).path, called.text) == (f"/{CHECK}", "")
    assert parse_qs(urlsplit(called.path).query, keep_blank_values=True) == query


def test_a_service_that_knows_no_beginning_is_not_called_then(healthchecks: Webhooks) -> None:
    opened(healthchecks.port, options="service=kuma").send(message(Event.STARTED))
    assert healthchecks.requests == 0


def test_every_address_can_be_chosen(healthchecks: Webhooks) -> None:
    channel = opened(healthchecks.port, options="key=v&start=none&success=%3Fdone%3D1&fail=/log")
    for event in (Event.STARTED, Event.SUCCESS, Event.FAILURE):
        channel.send(message(event))
    assert [called.path for called in healthchecks.taken] == [f"/{CHECK}?key=v&done=1", f"/{CHECK}/log?key=v"]


def test_the_reason_goes_along_within_what_every_service_keeps(healthchecks: Webhooks) -> None:
    failures = tuple(Failure(subject=f"d{number}", reason="😀" * 3000) for number in range(5))
    opened(healthchecks.port).send(message(failures=failures))
    (called,) = healthchecks.taken
    assert called.text.startswith("Backup of shop failed\n\nStatus: FAILED\nReason: d0: 😀")
    assert LONGEST_BODY - 4 < len(called.text.encode()) <= LONGEST_BODY


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (Answer(200, "OK (not found)"), True),
        (Answer(404, {"ok": False, "msg": "Monitor not found or not active."}), True),
        (Answer(200, {"ok": False, "msg": "Monitor not found"}), True),
        (Answer(409, "ambiguous slug"), True),
        (Answer(302, headers={"Location": "https://localhost:1/elsewhere"}), True),
        (Answer(503, "later"), False),
    ],
)
def test_a_ping_that_was_not_taken_is_no_success(healthchecks: Webhooks, answer: Answer, permanent: bool) -> None:
    healthchecks.next.append(answer)
    with pytest.raises(NotificationError) as refusal:
        opened(healthchecks.port).send(message())
    assert refusal.value.permanent is permanent
    assert refusal.value.hint


@pytest.mark.parametrize("answer", [Answer(429, headers={"Retry-After": "0"}), Answer(200, "OK (rate limited)")])
def test_a_service_that_asks_to_wait_is_left_alone_and_asked_again(healthchecks: Webhooks, answer: Answer) -> None:
    healthchecks.next.append(answer)
    waited = list[float]()
    deliver(opened(healthchecks.port), message(), pauses=(0.0,), pause=waited.append)
    assert len(waited) == len(healthchecks.taken[-1:]) == 1
    healthchecks.next.append(answer)
    with pytest.raises(RateLimited):
        opened(healthchecks.port).send(message())


def test_a_service_that_never_answers_is_given_up_after_a_time_that_is_named(healthchecks: Webhooks) -> None:
    healthchecks.hanging = True
    with pytest.raises(ConnectionError, match="within 1 seconds"):
        opened(healthchecks.port, options="timeout=1").send(message())


def test_a_server_that_nobody_vouches_for_gets_nothing(certificates: Certificates) -> None:
    with serving(Webhooks(), certificates) as server, pytest.raises(ConnectionError, match="not trusted"):
        Ping(PingConfig.from_url(f"ping+https://localhost:{server.port}/{CHECK}")).send(message())
    assert server.requests == 0


@pytest.mark.parametrize(
    "wrong",
    [
        f"https://hc-ping.com/{CHECK}",
        f"ping://hc-ping.com/{CHECK}",
        f"ping+ftp://hc-ping.com/{CHECK}",
        f"ping+https:///{CHECK}",
        f"ping+https://[hc-ping.com/{CHECK}",
        f"ping+https://hc-ping.com/{CHECK}#x",
        f"ping+https://hc-ping.com/{CHECK}?start=begin",
        f"ping+https://hc-ping.com/{CHECK}?service=pigeon",
        f"ping+https://hc-ping.com/{CHECK}?timeout=never",
    ],
)
def test_what_cannot_be_called_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        PingConfig.from_url(wrong)
    assert refusal.value.hint
    assert CHECK not in f"{refusal.value!r} {refusal.value.hint}"
