"""The command that restores what has just been stored: it works as it is printed, and touches nothing that exists.

Every engine takes the same one, for a restore beside the source's databases is the same wish to each. Passwords are
left out of it; where the source's was, it is asked for.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from core.jobs import Address, JobSpec
    from core.reports import BackupReport

LONGEST = 63  # bytes of a database's name, in the engine that takes the shortest
SEVERAL = 3  # databases that are named on one line; of more, the first shows how it is done


def way_back(report: BackupReport, spec: JobSpec) -> str:
    """What to type. At least one copy is complete, and at least one database in it."""
    from blocks.addresses import clear, engine_of, storage_of, without_secrets

    at = without_secrets(_place(report, spec), storage_of)
    into = without_secrets(spec.source, engine_of)
    words = ["dbackup", "restore", report.backup_id, "--at", at, "--into", into, *_databases(report)]
    asks = [] if spec.source.is_name or not urlsplit(clear(spec.source)).password else ["--ask-password"]
    return shlex.join([*words, *asks])


def _place(report: BackupReport, spec: JobSpec) -> Address:
    """The first destination that has a whole copy; a report knows what has no name only by its description."""
    from blocks.addresses import open_storage

    whole = {copy.storage for copy in report.copies if copy.complete}
    named = next((one for one in spec.destinations if one in whole), None)
    return named or next(one for one in spec.destinations if not one.is_name and open_storage(one).describe() in whole)


def _databases(report: BackupReport) -> list[str]:
    held = [name for file in report.files for name in file.holds]
    if len(held) == 1:
        return ["--as", _beside(held[0])]
    if len(held) > SEVERAL or any("=" in name for name in held):
        return ["--database", held[0], "--as", _beside(held[0])]
    return [word for name in held for word in ("--database", f"{name}={_beside(name)}")]


def _beside(name: str) -> str:
    """A name for what is restored beside it."""
    restored = f"{name}_restored"
    return restored if len(restored.encode()) <= LONGEST else "restored"
