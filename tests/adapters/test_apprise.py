"""Apprise: what it could not deliver is an error with its reason, and its URLs show nowhere."""

from __future__ import annotations

import logging

import pytest

from adapters.notification.apprise import Apprise, AppriseConfig
from core.errors import ConfigurationError, NotificationError
from core.events import Event
from tests.adapters.notification_contract import NotificationContract, Scene, message
from tests.servers.processes import free_port
from tests.servers.webhooks import Answer, Webhooks

PASSWORD, PATH = "Pa55-for-apprise", "s3cret-path-of-a-hook"


def url(port: int, path: str = PATH) -> str:
    return f"apprise+json://user:{PASSWORD}@127.0.0.1:{port}/{path}"


def opened(address: str) -> Apprise:
    return Apprise(AppriseConfig.from_url(address))


@pytest.fixture
def scene(json_service: Webhooks) -> Scene:
    json_service.judge = lambda path, _: Answer(200 if PATH in path else 404)
    return Scene(
        opened(url(json_service.port)),
        opened(url(json_service.port, "gone")),
        opened(url(free_port())),
        lambda count: [f"{one['title']}\n{one['message']}" for one in json_service.taken[:count]],
        (PASSWORD, PATH),
    )


class TestApprise(NotificationContract):
    """The whole contract."""


def test_the_reason_that_apprise_only_logs_is_told(scene: Scene) -> None:
    with pytest.raises(NotificationError, match="404"):
        scene.refused.send(message())


@pytest.mark.parametrize(
    ("event", "kind"), [(Event.SUCCESS, "success"), (Event.PARTIAL, "warning"), (Event.FAILURE, "failure")]
)
def test_a_service_learns_how_bad_it_is(scene: Scene, json_service: Webhooks, event: Event, kind: str) -> None:
    scene.channel.send(message(event))
    assert json_service.taken[0]["type"] == kind


@pytest.mark.parametrize("wrong", [f"apprise+nope://{PASSWORD}", f"apprise://{PASSWORD}", f"apprise+{PASSWORD}", "x"])
def test_what_apprise_does_not_know_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        AppriseConfig.from_url(wrong)
    assert PASSWORD not in f"{refusal.value!r}{refusal.value.hint}"


def test_what_apprise_warns_of_shows_no_part_of_the_url(scene: Scene, json_service: Webhooks) -> None:
    """Apprise names the host that it could not reach; for some services that is where the token stands."""
    with pytest.raises(NotificationError, match=r"\*\*\*\*") as failure:
        scene.unreachable.send(message())
    assert "127.0.0.1" not in failure.value.message


def test_other_threads_keep_their_log_lines(
    scene: Scene, json_service: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    def judge(_path: str, _message: object) -> Answer:
        logging.getLogger("urllib3.connectionpool").debug("a line of the server's thread")
        return Answer(200)

    json_service.judge = judge
    with caplog.at_level("DEBUG"):
        scene.channel.send(message())
    assert "a line of the server's thread" in caplog.text
