"""Fixtures for every test; the servers they start live in ``tests/servers``."""

pytest_plugins = ["tests.servers.postgresql", "tests.home"]
