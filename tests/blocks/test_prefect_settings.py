"""What is read once is as if it had been read each time."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import Mock, patch

import pytest
from cryptography import x509
from prefect.client.orchestration import get_client
from prefect.context import get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.settings.models.root import Settings

from blocks import prefect_settings
from blocks.api import prefect_api
from blocks.embedded import NO_AUTHORITY
from blocks.prefect_settings import changed_settings


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """How often Prefect's settings are read, beginning with none that was made before."""
    monkeypatch.setattr(prefect_settings, "_changed", {})
    with patch.object(Settings, "__init__", autospec=True, side_effect=Settings.__init__) as counted:
        yield counted


def test_the_same_change_of_settings_is_made_once_and_ends_with_its_context(readings: Mock) -> None:
    before = get_settings_context().settings
    for _ in range(3):
        with changed_settings({PREFECT_CLIENT_MAX_RETRIES: 7}):
            assert PREFECT_CLIENT_MAX_RETRIES.value() == 7
        assert get_settings_context().settings is before
    assert readings.call_count == 1
    with changed_settings({PREFECT_CLIENT_MAX_RETRIES: 8}):
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 8
    assert readings.call_count == 2


def test_a_change_is_one_of_the_settings_that_are_there_then() -> None:
    with changed_settings({PREFECT_CLIENT_MAX_RETRIES: 7}):
        pass
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        changed_settings({PREFECT_CLIENT_MAX_RETRIES: 7}),
    ):
        assert (PREFECT_API_URL.value(), PREFECT_CLIENT_MAX_RETRIES.value()) == ("http://127.0.0.1:9/api", 7)


def test_it_remembers_no_more_than_a_few(readings: Mock) -> None:
    for number in range(50):
        with changed_settings({PREFECT_CLIENT_MAX_RETRIES: number}):
            pass
    assert len(prefect_settings._changed) <= prefect_settings._KEPT
    assert readings.call_count == 50


@pytest.mark.usefixtures("home")
def test_who_asks_again_reads_neither_settings_nor_the_authorities_of_the_world(
    readings: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> None:
        with prefect_api(), get_client(sync_client=True) as client:
            assert client.hello().is_success

    asked()
    readings.reset_mock()
    contexts = Mock(side_effect=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", contexts)
    asked()
    asked()
    assert readings.call_count == 0
    assert [one.kwargs for one in contexts.call_args_list] == [{"cafile": str(NO_AUTHORITY)}] * 2


def test_nothing_is_believed_by_what_the_embedded_server_s_clients_read() -> None:
    """A server that shows a certificate of any authority, or this one itself, is refused: nobody has its key."""
    (one,) = x509.load_pem_x509_certificates(NO_AUTHORITY.read_bytes())
    assert one.not_valid_after_utc - one.not_valid_before_utc == timedelta(days=1)
    assert not one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    trusting = ssl.create_default_context(cafile=str(NO_AUTHORITY))
    assert trusting.verify_mode is ssl.CERT_REQUIRED
    assert trusting.get_ca_certs() == []
