"""The steps of the janitor: clean a saved storage, and look at a saved source."""

from __future__ import annotations

from datetime import UTC, datetime

from blocks.addresses import open_source, open_storage
from core.errors import DBackupError
from core.jobs import Address
from core.log import logger
from core.reports import Failure, Leftovers
from core.settings import settings
from services import janitor
from services.destinations import Destination
from services.workspace import alive
from tasks.step import step

log = logger(service="janitor")


@step("clean", "clean {name}")
def clean(name: str, *, dry_run: bool) -> Leftovers:
    """Remove what killed runs have left on a storage. One that cannot be cleaned comes with the reason."""
    try:
        place = Destination(name, open_storage(Address(name)))
        found = janitor.clean(place, alive(settings().runs), dry_run=dry_run)
    except DBackupError as error:
        return Leftovers(place=name, failure=Failure.of(name, error))
    return Leftovers(place=name, found=tuple(one.key for one in found), removed=not dry_run)


@step("look", "look at {name}")
def look(name: str) -> Leftovers:
    """Find what killed restores have left on a server. One that cannot be asked comes with the reason."""
    try:
        found = janitor.unfinished_databases(open_source(Address(name)), alive(settings().runs), datetime.now(UTC))
    except DBackupError as error:
        return Leftovers(place=name, failure=Failure.of(name, error))
    for one in found:
        log.warning(
            "unfinished database",
            source=name,
            database=one.database.name,
            bytes=one.database.size,
            stays=one.stays or f"remove it with: dbackup clean --source {name} --yes",
        )
    return Leftovers(place=name, found=tuple(one.database.name for one in found))
