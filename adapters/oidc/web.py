"""Questions to a provider over HTTP: one at a time, with an end, and with an answer that is an object of JSON.

Redirects are not followed, and nothing that is longer than any true answer is read. What goes wrong is told without
what was sent: it holds codes and secrets.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from adapters.certificates import verifying
from adapters.http import translated
from adapters.library_logs import hushed
from core.errors import AdapterError

LONGEST_ANSWER = 512 << 10  # bytes: a set of keys with their certificates is the longest


@dataclass(frozen=True)
class Answer:
    """A status and the object that came with it; what was no object of JSON is empty."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Web:
    """How a provider is asked: whom to believe, and how many seconds one question may take in all."""

    ca_file: str | None
    timeout: int

    @cached_property
    def _verify(self) -> ssl.SSLContext:
        return verifying(self.ca_file)

    def get(self, url: str, token: str | None = None) -> Mapping[str, Any]:
        """The object at an address. Raises ConnectionError, or AdapterError for any other answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._ask(httpx.Request("GET", url, headers={**_ACCEPT, **headers}))
        if answer.status != httpx.codes.OK or not answer.body:
            raise AdapterError(
                f"{_place(url)} answered with {answer.status} instead of what was asked for",
                hint="look at the address, and at the provider's log",
                permanent=answer.status < httpx.codes.INTERNAL_SERVER_ERROR,
            )
        return answer.body

    def post(self, url: str, form: Mapping[str, str], auth: httpx.Auth | None) -> Answer:
        """Send a form, and give whatever is answered. Raises ConnectionError."""
        request = httpx.Request("POST", url, data=dict(form), headers=_ACCEPT)
        return self._ask(request, auth)

    def _ask(self, request: httpx.Request, auth: httpx.Auth | None = None) -> Answer:
        end = time.monotonic() + self.timeout
        client = httpx.Client(verify=self._verify, timeout=self.timeout)
        with translated("the provider", request.url.netloc.decode(), self.timeout), hushed("httpx"), client:
            response = client.send(request, auth=auth, stream=True)
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LONGEST_ANSWER:
                    return Answer(response.status_code, {})
                if time.monotonic() > end:  # one that goes on in drops would never be late with any of them
                    raise httpx.ReadTimeout("")
            return Answer(response.status_code, _object(body))


_ACCEPT = {"Accept": "application/json"}


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
