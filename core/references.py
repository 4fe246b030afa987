"""Secrets that a file only refers to: ``env:NAME`` is a variable of the environment, ``file:/PATH`` a file's content.

``file://…`` is a URL and no reference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from core.errors import ConfigurationError
from core.masking import remember

_REFERENCE = re.compile(r"env:(?P<variable>[A-Za-z_][A-Za-z0-9_]*)|file:(?P<path>/(?!/).*)")
_LARGEST = 65_536  # bytes


def is_reference(text: str) -> bool:
    """Whether this refers to a secret instead of being one."""
    return _REFERENCE.fullmatch(text) is not None


def referred(text: str) -> str:
    """The secret that is referred to, which no text will show from here on; without the newline that ends a file.

    Raises ConfigurationError for what is no reference, does not exist or is empty.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ConfigurationError("this is no reference to a secret", hint="write env:NAME or file:/PATH")
    secret = os.environ.get(found["variable"], "") if found["variable"] else _content(Path(found["path"]))
    if not secret:
        what = f"the variable {found['variable']} is not set" if found["variable"] else f"{found['path']} is empty"
        raise ConfigurationError(what, hint="give it the secret, and try again")
    remember(secret)
    return secret


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ConfigurationError(f"{path} is larger than {_LARGEST:,} bytes", hint="name the file of one secret")
        return content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="look at its permissions") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text in UTF-8", hint="name the file of one secret") from None
