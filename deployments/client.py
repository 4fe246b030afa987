"""What the Prefect API is asked by: a client whose failures are sentences, and how a flow becomes a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.types.entrypoint import EntrypointType

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


def deploy(flow: Flow[Any, Any], name: str, **said: Any) -> None:
    """Make a flow a deployment under a name, found in its module by whoever carries it out."""
    from prefect.deployments.runner import RunnerDeployment  # and with it a third of Prefect, which no other call needs

    RunnerDeployment.from_flow(flow, name=name, entrypoint_type=EntrypointType.MODULE_PATH, **said).apply()
