"""What people call the fields of a typed configuration, and a model made of what they gave.

A form is drawn from the configuration itself. What it cannot know from a field's type, the field says with one of the
marks below, as its ``json_schema_extra``. The order of the fields is that of the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from core.errors import ConfigurationError

Model = TypeVar("Model", bound=BaseModel)

RECEIVES: dict[str, JsonValue] = {"receives_secrets": True}
"""A part of the address that the configuration's secrets are sent to: another one is not given the old secrets."""
UNASKED: dict[str, JsonValue] = {"unasked": True}
"""Not a person's choice; no form shows it."""
MULTILINE: dict[str, JsonValue] = {"multiline": True}
"""A text of several lines."""

_CAPITALS = {"ca", "dns", "id", "kms", "ms", "srv", "sse", "ssl", "tls", "url"}


def has(field: FieldInfo, mark: Mapping[str, JsonValue]) -> bool:
    """Whether a field bears one of the marks above."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and mark.items() <= extra.items()


def is_secret(field: FieldInfo) -> bool:
    """Whether what the field holds goes in and never comes out."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def label(model: type[BaseModel], name: str) -> str:
    """What people call a field: ``TLS CA file``."""
    if title := model.model_fields[name].title:
        return title
    words = [word.upper() if word in _CAPITALS else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def validated(model: type[Model], facts: Mapping[str, Any]) -> Model:
    """Make the model. Raises ConfigurationError that names the first field which is wrong, never its value."""
    try:
        return model.model_validate(dict(facts))
    except ValidationError as failure:
        errors = failure.errors(include_input=False, include_url=False)
        first = next((one for one in errors if one["type"] == "value_error"), errors[0])  # what we say ourselves
        name = str(first["loc"][0]) if first["loc"] else ""
        reason = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "missing":
            raise ConfigurationError(f"{_called(model, name)} is missing", hint="fill it in") from None
        raise ConfigurationError(f"{_called(model, name)} cannot be used: {reason}") from None


def _called(model: type[BaseModel], name: str) -> str:
    return label(model, name) if name in model.model_fields else name or "this"
