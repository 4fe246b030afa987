"""The step of the catalog: read one saved storage anew."""

from __future__ import annotations

from functools import cache

from blocks.addresses import keyring, open_storage
from core.errors import DBackupError
from core.jobs import Address
from core.log import logger
from core.reports import Failure
from core.upkeep import ReadStorage
from services import indexing
from services.destinations import Destination
from tasks.step import step

log = logger(service="catalog")


@step("read", "read {name}")
def read(name: str) -> ReadStorage:
    """Bring the catalog up to date with a storage, or tell why that failed. A backup that cannot be read is logged."""
    try:
        (reading,) = indexing.rebuild([Destination(name, open_storage(Address(name)))], cache(keyring))
    except DBackupError as error:
        return ReadStorage(storage=name, failure=Failure.of(name, error))
    for folder, problem in reading.problems:
        log.warning("a backup cannot be read", storage=name, folder=folder.key, reason=problem.message)
    log.info("read", storage=name, backups=len(reading.backups))
    unreadable = tuple(folder.key for folder, _ in reading.problems)
    return ReadStorage(storage=name, backups=len(reading.backups), unreadable=unreadable)
