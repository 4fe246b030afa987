"""Our own sessions on the server, and the one place where pymongo's errors become ours.

No message repeats a connection string, so none can hold a password; causes are dropped for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient, errors

from adapters.database.mongodb.config import MongoDBConfig
from core.errors import AdapterError, ConfigurationError, ConnectionError, DBackupError

Client = MongoClient[dict[str, Any]]

APPLICATION = "dbackup"  # how our sessions are called in the server's log and currentOp
SYSTEM = frozenset({"admin", "config", "local"})
NOT_ALLOWED, WRONG_PASSWORD = (13, 8000), (18, 11)  # codes of the server


@contextmanager
def connected(config: MongoDBConfig, kind: type[DBackupError] = AdapterError) -> Iterator[Client]:
    """A session that has been answered. Raises ConnectionError or ConfigurationError; within, also ``kind``."""
    with translated(config, kind):
        client: Client = MongoClient(config.uri(), appname=APPLICATION)
        try:
            client.admin.command("ping")
            yield client
        finally:
            client.close()


@contextmanager
def translated(config: MongoDBConfig, kind: type[DBackupError]) -> Iterator[None]:
    """Turn what pymongo raises inside into ours: a ConnectionError when nobody answers, else ``kind``."""
    try:
        yield
    except errors.OperationFailure as failure:
        raise _refusal(config, failure, kind) from None
    except (errors.ConfigurationError, errors.InvalidURI, OSError, ValueError) as failure:
        raise ConfigurationError(
            f"MongoDB at {config.address} cannot be reached this way: {_reason(failure)}",
            hint="check the hosts (with mongodb+srv: the name in the DNS), the options and the certificate files",
        ) from None
    except errors.ConnectionFailure as failure:
        raise ConnectionError(
            f"MongoDB at {config.address} cannot be reached: {_reason(failure)}",
            hint="check hosts, port, TLS and whether it runs, then try it with: dbackup source test NAME-OR-URL",
        ) from None
    except errors.PyMongoError as failure:
        raise kind(f"MongoDB refused: {_reason(failure)}", hint="look into the server's log for more") from None


def database_names(client: Client) -> list[str]:
    """The databases of the server that are not its own, in the order of their names."""
    return sorted(name for name in client.list_database_names() if name not in SYSTEM)


def _refusal(config: MongoDBConfig, failure: errors.OperationFailure, kind: type[DBackupError]) -> DBackupError:
    if failure.code in WRONG_PASSWORD:
        return ConnectionError(
            f"{config.address} refused to let {config.user!r} in: {_reason(failure)}",
            hint="check user, password and authSource, then try them with: dbackup source test NAME-OR-URL",
            permanent=True,
        )
    if failure.code in NOT_ALLOWED:
        return kind(
            f"MongoDB refused: {_reason(failure)}",
            hint="grant the user the roles backup and restore, or use another user",
        )
    return kind(f"MongoDB refused: {_reason(failure)}", hint="look into the server's log for more")


def _reason(failure: Exception) -> str:
    """What was said, in one line, without the description of the topology."""
    if isinstance(failure, errors.OperationFailure):
        said = (failure.details or {}).get("errmsg")
        return str(said or failure).splitlines()[0]
    lines = str(failure).splitlines() or [type(failure).__name__]
    return lines[0].partition(" (configured timeouts")[0].partition(", Timeout: ")[0][:300]
