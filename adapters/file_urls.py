"""URLs that name a file or a folder of this machine: ``scheme:///absolute/path`` or ``scheme:///./relative``.

The path is percent-decoded, as in every URL, so a question mark is written ``%3F``, a number sign ``%23`` and a
percent sign ``%25``. A host other than this one is refused. Three slashes are an absolute path; four are too.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from core.errors import ConfigurationError

HERE = ("", "localhost")


def path_of(url: str, scheme: str) -> Path:
    """The absolute path a URL of ``scheme`` names. Raises ConfigurationError when it names none."""
    prefix = f"{scheme}://"
    if not url.lower().startswith(prefix):
        raise ConfigurationError(f"the address is no {prefix} URL", hint=f"write {prefix}/path/to/it")
    host, slash, rest = url[len(prefix) :].partition("/")
    if host not in HERE or not slash:
        raise ConfigurationError(
            f"a {prefix} URL names a path on this machine, not a host",
            hint=f"write three slashes: {prefix}/absolute/path or {prefix}/./relative/path",
        )
    if "?" in rest or "#" in rest:
        raise ConfigurationError(
            f"a {prefix} URL takes no options", hint="if the name holds a ? or a #, write it as %3F or %23"
        )
    return _absolute(os.fsdecode(unquote_to_bytes(rest)), url)


def _absolute(path: str, url: str) -> Path:
    if not path.strip("/") or "\0" in path:
        raise ConfigurationError(f"the URL {url!r} names no path", hint="write the path after the three slashes")
    relative = path.split("/", 1)[0] in (".", "..")
    return Path(path).absolute() if relative else Path("/" + path.lstrip("/"))
