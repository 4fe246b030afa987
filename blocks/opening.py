"""From a configuration to the adapter, with or without a block. Imports no Prefect."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from core.masking import remember_secrets


def opened_adapter(adapter: type[Any], config: BaseModel) -> Any:
    """An adapter of this configuration, whose secrets no text will show from here on."""
    remember_secrets(config)
    return adapter(config)
