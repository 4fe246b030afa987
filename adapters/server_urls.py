"""URLs that name a server: ``scheme://user:password@host:port/path?option=value``, and configurations made of them.

Any part may be a secret, so no message repeats one; only the names of options are told.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ValidationError

from core.errors import ConfigurationError

C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True, repr=False)
class ServerURL:
    """What a URL says, percent-decoded. ``facts`` are host, port, user and password, as far as they are given."""

    facts: Mapping[str, str | int]
    path: str
    options: Mapping[str, str]


def read(url: str, schemes: Container[str]) -> ServerURL | None:
    """Take a URL apart; None for what is no URL of these schemes."""
    try:
        parts = urlsplit(url)
        found = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        return None
    if parts.scheme not in schemes or parts.fragment:
        return None
    facts = {name: unquote(value) if isinstance(value, str) else value for name, value in found.items() if value}
    return ServerURL(facts, unquote(parts.path), options)


def configured(
    config_type: type[C], facts: Mapping[str, Any], label: str, written: Callable[[str], str] = str, hint: str = ""
) -> C:
    """Make a configuration of what a URL of this ``label`` says.

    ``written`` gives the name of a field as the URL spells it, and ``hint`` says more than which options there are.
    Raises ConfigurationError.
    """
    try:
        return config_type.model_validate(facts)
    except ValidationError as failure:
        problem = failure.errors(include_input=False, include_url=False)[0]
        name = written(".".join(map(str, problem["loc"])))
        subject = f"the option '{name}' of this {label} URL" if name else f"this {label} URL"
        unknown = problem["type"] == "extra_forbidden"
        reason = "there is no such option" if unknown else problem["msg"].removeprefix("Value error, ")
        known = ", ".join(sorted(map(written, config_type.model_fields)))
        raise ConfigurationError(
            f"{subject} cannot be used: {reason}", hint="; ".join(filter(None, [f"the options are: {known}", hint]))
        ) from None
