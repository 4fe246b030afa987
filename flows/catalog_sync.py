"""Bring the catalog up to date with what lies on the storages: ``from flows.catalog_sync import catalog_sync``.

Other machines store there too, and people delete by hand. The destinations are the truth, the catalog follows them.
"""

from __future__ import annotations

from blocks import saved
from blocks.saved import Kind
from core.errors import StorageError
from flows.sealed_flow import sealed_flow
from tasks import catalog as steps


@sealed_flow("catalog-sync")
def catalog_sync() -> None:
    """Read every saved storage anew. Raises StorageError when one could not be read, after all others were."""
    failures = [failure for name in saved.everything(Kind.STORAGE) if (failure := steps.read(name))]
    if failures:
        raise StorageError("; ".join(map(str, failures)), hint=failures[0].hint)
