"""What Prefect and httpx would read again for each of their clients, read once: a page or a look asks several times.

Prefect reads all its settings anew, some five hundred, for each change of one, and each client the authorities that it
would trust, also where the address is no https: together a tenth of a second of processor time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SettingsContext, SyncClientContext, get_settings_context
from prefect.settings import PREFECT_API_URL
from prefect.settings.legacy import Setting
from prefect.settings.models.root import Settings

from blocks.embedded import authorities

_KEPT = 8  # changes of settings that a process makes again and again
_changed: dict[tuple[int, tuple[tuple[str, Any], ...]], tuple[Settings, Settings]] = {}


def open_client() -> SyncPrefectClient:
    """A client of the API that is configured, the one of the flow where one runs. To be entered as a context."""
    if SyncClientContext.get() is None and PREFECT_API_URL.value().startswith("http://"):
        return get_client({"verify": authorities()}, sync_client=True)
    return get_client(sync_client=True)


@contextmanager
def changed_settings(changes: Mapping[Setting, Any]) -> Iterator[None]:
    """Settings of Prefect for a while, as its own ``temporary_settings`` would have them."""
    context = get_settings_context()
    key = (id(context.settings), tuple((setting.name, value) for setting, value in changes.items()))
    if (made := _changed.get(key)) is None:
        updates: dict[Any, Any] = {**changes}
        # With those that they were made from, whose id is therefore nobody else's meanwhile.
        made = (context.settings, context.settings.copy_with_update(updates=updates))
        if len(_changed) >= _KEPT:
            _changed.clear()
        _changed[key] = made
    with SettingsContext(profile=context.profile, settings=made[1]):
        yield
