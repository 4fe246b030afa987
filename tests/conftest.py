"""Fixtures for every test; the servers they start live in ``tests/servers``."""

import signal
from collections.abc import Iterator

import pytest

from core import masking

pytest_plugins = [
    "tests.browser",
    "tests.servers.certificates",
    "tests.servers.identity",
    "tests.servers.mail",
    "tests.servers.mongodb",
    "tests.servers.openssh",
    "tests.servers.mysql",
    "tests.servers.postgresql",
    "tests.servers.s3",
    "tests.servers.webhooks",
    "tests.home",
    "tests.system",
]

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: the tests that interrupt
# a command could not. A handler of our own is not inherited; the default is.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _secrets_of_one_module() -> Iterator[None]:
    """What one module's tests have for secrets are ordinary words in the texts of the next."""
    yield
    masking._known.clear()
