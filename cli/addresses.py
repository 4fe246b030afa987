"""From what a person types to an address: a saved name stays, a URL stays, a path becomes a URL.

A path is told from a name by its slash or dot; whatever is odd in it is percent-encoded. A text that may hold a
password is never repeated in a message.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from cli.output import WrongUsage

if TYPE_CHECKING:
    from core.jobs import Address


HOST_AND_PORT = re.compile(r"[^/]+:\d+(/|$)")


def source(text: str) -> Address:
    """The address of a source or of a restore's target. Raises WrongUsage for what can be neither."""
    return _address(text, "sqlite", "postgresql://user@host/database, or ./shop.db for an SQLite file")


def storage(text: str) -> Address:
    """The address of a storage. Raises WrongUsage for what can be none."""
    return _address(text, "file", "file:///backups, or ./backups for a folder")


def channel(text: str) -> Address:
    """The address of a notification channel. Raises WrongUsage for what can be none."""
    from core.jobs import SAVED_NAME, Address

    if SAVED_NAME.fullmatch(text) or "://" in text:
        return Address(text)
    raise WrongUsage(
        "this is neither a saved name nor a URL",
        hint="write a name, or a URL: https://discord.com/api/webhooks/…, smtp://…, ping+https://…, apprise+SERVICE://…",
    )


def _address(text: str, scheme: str, examples: str) -> Address:
    from core.jobs import SAVED_NAME, Address

    if SAVED_NAME.fullmatch(text) or "://" in text:
        return Address(text)
    if not _is_path(text):
        raise WrongUsage(
            f"{_shown(text)} is neither a saved name nor a URL nor a path", hint=f"write a name, or {examples}"
        )
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    return Address(path_url(scheme, path))


def _shown(text: str) -> str:
    return "an address" if "@" in text else repr(text)


def _is_path(text: str) -> bool:
    """Whether this is meant as a path. ``user:password@host/shop`` is a URL without its scheme."""
    looks_like_one = "/" in text or "." in text
    looks_like_a_host = "@" in text or HOST_AND_PORT.match(text) is not None
    return looks_like_one and (not looks_like_a_host or Path(text).exists())


def path_url(scheme: str, path: Path) -> str:
    """The URL of a file or folder on this machine."""
    return f"{scheme}://{quote_from_bytes(os.fsencode(path.absolute()), safe='/')}"
