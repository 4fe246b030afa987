"""``python -m dashboard``: serve it on the loopback, or where DBACKUP_WEB_HOST and DBACKUP_WEB_PORT say."""

from __future__ import annotations

import sys

import uvicorn

from core.errors import DBackupError
from core.log import configure
from core.settings import settings
from dashboard.web import application


def main() -> None:
    """Serve until a signal ends it."""
    try:
        current = settings()
    except DBackupError as error:
        sys.exit(f"✗ {error.message}\n  → {error.hint}")
    configure(current.log_level)
    # No line for every request: a monitor asks every few seconds, and its token is nobody's business.
    uvicorn.run(
        application(), host=current.web_host, port=current.web_port, log_level="warning", access_log=False,
        server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
