"""A client of the Prefect API whose failures are sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from blocks.api import prefect_api
from core.errors import ConnectionError
from core.masking import mask


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of a Prefect API that answers. Raises ConnectionError when it fails."""
    with prefect_api() as api, get_client(sync_client=True) as client:
        try:
            yield client
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise ConnectionError(
                f"the Prefect API at {api.url} failed: {mask(str(error))}", hint="look at its log, then try again"
            ) from None
