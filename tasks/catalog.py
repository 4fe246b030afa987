"""The step of the catalog: read one saved storage anew."""

from __future__ import annotations

from functools import cache

from blocks.addresses import keyring, open_storage
from core.errors import DBackupError
from core.jobs import Address
from core.log import logger
from core.reports import Failure
from services import indexing
from services.destinations import Destination
from tasks.step import step

log = logger(service="catalog")


@step("read", "read {name}")
def read(name: str) -> Failure | None:
    """Bring the catalog up to date with a storage; why that failed, or None. A backup that cannot be read is logged."""
    try:
        (reading,) = indexing.rebuild([Destination(name, open_storage(Address(name)))], cache(keyring))
    except DBackupError as error:
        return Failure.of(name, error)
    for folder, problem in reading.problems:
        log.warning("a backup cannot be read", storage=name, folder=folder.key, reason=problem.message)
    log.info("read", storage=name, backups=len(reading.backups))
    return None
