"""What goes wrong between here and a web service, said once for every channel and provider that is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from adapters.certificates import mistrusted, reason_of
from core.errors import ConnectionError

LONGEST_ANSWER = 64 << 10  # bytes: nothing that a service has to say to a message is longer


@contextmanager
def translated(who: str, host: str | None, timeout: int) -> Iterator[None]:
    """Turn what httpx raises within this context into ConnectionErrors. ``timeout`` is in seconds.

    Never with its cause, whose text may hold the address.
    """
    try:
        yield
    except httpx.TimeoutException:
        raise ConnectionError(
            f"{who} at {host} did not answer within {timeout} seconds",
            hint="look whether this machine may reach it, or give a longer time with ?timeout=",
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        if tls := mistrusted(failure):
            raise ConnectionError(
                f"the certificate of {host} is not trusted: {reason_of(tls)}",
                hint="if it or a proxy of your own has another authority, name that with ?ca_file=/path/to/ca.pem",
                permanent=True,
            ) from None
        raise ConnectionError(
            f"{who} at {host} cannot be reached ({type(failure).__name__})",
            hint="look whether this machine may reach it, by a proxy or directly",
        ) from None


def body_of(response: httpx.Response) -> bytes:
    """What was answered, as far as it can be an answer: of a body that is longer than any, its beginning."""
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            break
    return body
