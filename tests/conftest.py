"""Fixtures for every test; the servers they start live in ``tests/servers``."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

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


SHARING = {  # the modules whose tests share one system that runs: in two processes of the tests it would run twice
    "tests/dashboard/test_dialogs.py",
    "tests/dashboard/test_restore_journey.py",
    "tests/deployments/test_runs.py",
    "tests/deployments/test_system.py",
}


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A module's tests go to one process, and so do those of all modules that share the system."""

    def _split_scope(self, nodeid: str) -> str:
        module: str = super()._split_scope(nodeid)
        return "the shared system" if module in SHARING else module


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    found = {item.nodeid.partition("::")[0] for item in items if "shared_system" in item.fixturenames}
    assert found <= SHARING, "tests/conftest.py names the modules that share the system"
    # What takes longest, and in one process, is begun first: begun in its turn, it would be what all others wait for.
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in SHARING)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return _Scheduling(config, log)


@pytest.fixture(autouse=True, scope="module")
def _secrets_of_one_module() -> Iterator[None]:
    """What one module's tests have for secrets are ordinary words in the texts of the next."""
    yield
    masking._known.clear()
