"""A Prefect API that answers: the one that is configured, or the embedded server of this home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
)
from prefect.settings.legacy import Setting
from pydantic import SecretStr

from blocks import time_zones
from blocks.embedded import NO_AUTHORITY, Api, embedded, in_use, running
from blocks.prefect_settings import changed_settings
from core.errors import ConnectionError
from core.settings import settings

# The embedded server is on this machine: when it cannot be reached it is dead, and nobody starts it again meanwhile.
# Prefect would go on asking it for minutes, and then, for each event that is left, for seconds.
RETRIES = 2  # of a request, after two and four seconds: for a server that is busy
RECONNECTIONS = 2  # of the stream of events: more would wait between two attempts
_current: ContextVar[Api | None] = ContextVar("prefect_api", default=None)
time_zones.remember()


@contextmanager
def prefect_api() -> Iterator[Api]:
    """Within this context a Prefect API answers, and Prefect uses it. Raises ConnectionError."""
    if (api := _current.get()) is not None:
        yield api
    elif url := PREFECT_API_URL.value():
        yield from _within(_configured(url))
    else:
        with in_use(settings()):
            api = embedded(settings())
            EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=RECONNECTIONS)
            with changed_settings(_embedded_settings(api)):
                yield from _within(api)


def answering() -> Api | None:
    """The Prefect API that answers now; none is started."""
    try:
        return require_answer()
    except ConnectionError:
        return None


def require_answer() -> Api:
    """The Prefect API that answers now; none is started. Raises ConnectionError when there is none."""
    if (api := _current.get()) is not None:
        found = api if api.answers() else None
    elif url := PREFECT_API_URL.value():
        return _configured(url)
    else:
        found = running(settings())
    if found is None:
        raise ConnectionError("the Prefect API does not answer", hint="look at its log")
    return found


def located(api: Api) -> dict[Setting, Any]:
    """The settings by which Prefect's clients find an API."""
    found: dict[Setting, Any] = {PREFECT_API_URL: api.url, PREFECT_API_AUTH_STRING: api.auth}
    return {**found, PREFECT_API_SSL_CERT_FILE: str(NO_AUTHORITY)} if api.embedded else found


def _embedded_settings(api: Api) -> dict[Setting, Any]:
    return {
        **located(api),
        PREFECT_CLIENT_MAX_RETRIES: RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # here and not by a flow: each change of settings reads all of them
    }


def _within(api: Api) -> Iterator[Api]:
    token = _current.set(api)
    try:
        yield api
    finally:
        _current.reset(token)


def _configured(url: str) -> Api:
    secret = PREFECT_API_AUTH_STRING.value()
    api = Api(url.rstrip("/"), secret.get_secret_value() if isinstance(secret, SecretStr) else secret)
    if not api.answers(timeout=10.0):
        raise ConnectionError(
            f"the Prefect API at {api.url} does not answer, or refuses PREFECT_API_AUTH_STRING",
            hint="start it, or correct or unset PREFECT_API_URL and PREFECT_API_AUTH_STRING",
        )
    return api
