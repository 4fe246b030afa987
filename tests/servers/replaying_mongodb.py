"""The test server, with the one command that it lacks: ``applyOps``, by which mongorestore replays an oplog.

The server records its operations and can replay them itself, for recoveries of its own; here that replay answers the
command. As with MongoDB an operation may be applied twice: an insert puts itself in the place of what has its ``_id``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def apply_ops(command: dict[str, Any], context: Any) -> dict[str, Any]:
    """Apply each operation in turn, without recording it again."""
    replay = import_module("secantus.oplog_replay")
    with context.storage.replay_mode():
        for operation in command["applyOps"]:
            if operation["op"] == "i":
                replay._apply_entry(context.storage, {**operation, "op": "d", "o2": {"_id": operation["o"]["_id"]}})
            replay._apply_entry(context.storage, operation)
    return {"ok": 1.0, "applied": len(command["applyOps"]), "results": [True] * len(command["applyOps"])}


if __name__ == "__main__":
    import_module("secantus.commands")._HANDLERS["applyOps"] = apply_ops
    sys.exit(import_module("secantus.cli").main())
