"""A dashboard that is served for tests, with people who may enter it, and a browser-like client for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from actions import groups, users
from actions.door import LOCAL_ADMINISTRATOR
from core.errors import ConfigurationError
from core.permissions import Permission
from core.rights import Grant
from services.accounts.users import NewUser
from tests.dashboard.test_monitoring import serving

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Site:
    """A served dashboard."""

    root: str

    def client(self, **headers: str) -> httpx.Client:
        """Somebody with a cookie jar of their own, who sends what a browser sends with a form of ours."""
        own = {"origin": self.root, "accept": "text/html", "sec-fetch-site": "same-origin"}
        return httpx.Client(base_url=self.root, headers={**own, **headers}, timeout=60)

    def inside(self, name: str) -> httpx.Client:
        """Somebody who has logged in."""
        client = self.client()
        assert log_in(client, name).status_code == 303
        return client


def log_in(client: httpx.Client, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    """Send the form of the login."""
    return client.post("/login", data={"name": name, "password": password, **fields})


def person(name: str, *permissions: Permission, sources: frozenset[str] | None = None) -> str:
    """A user in a group of their own with these permissions; gives the name."""
    try:
        users.create(LOCAL_ADMINISTRATOR, NewUser(name, SecretStr(PASSWORD)))
    except ConfigurationError:  # made by an earlier module of this session
        return name
    if permissions:
        groups.create(LOCAL_ADMINISTRATOR, f"of {name}", Grant(frozenset(permissions), sources))
        groups.add(LOCAL_ADMINISTRATOR, f"of {name}", name)
    return name


@pytest.fixture(scope="package")
def site(home: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with an administrator, *root*."""
    with suppress(ConfigurationError):  # made by an earlier package of this session
        users.create(LOCAL_ADMINISTRATOR, NewUser("root", SecretStr(PASSWORD), groups=("Administrators",)))
    with serving(tmp_path_factory.mktemp("site")) as root:
        yield Site(root)
