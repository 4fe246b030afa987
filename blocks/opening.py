"""From a configuration to the adapter, with or without a block. Imports no Prefect unless credentials are named."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from core.masking import remember_secrets


def opened_adapter(adapter: type[Any], config: BaseModel) -> Any:
    """An adapter of this configuration, whose secrets no text will show from here on.

    Credentials that the configuration only names are looked up first, which needs Prefect. Raises ConfigurationError.
    """
    if getattr(config, "credentials", None):
        from blocks.aws_credentials import with_credentials

        config, role = with_credentials(config)
        remember_secrets(config)
        return adapter(config) if role is None else adapter(config, role)
    remember_secrets(config)
    return adapter(config)
