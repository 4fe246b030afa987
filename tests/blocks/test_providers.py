"""Identity providers as blocks: every kind has one with the same fields, and it is saved wherever that is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.oidc import PROVIDERS as ADAPTERS
from blocks.providers import PROVIDERS, ProviderBlock
from blocks.saved import Kind, everything, remove, save
from core.sealing import is_sealed

URLS = {"generic": "https://id.secret.example/realms/x", "authentik": "authentik+https://auth.secret.example/slug"}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_kind_of_provider_has_a_block_with_its_fields(kind: str) -> None:
    config = ADAPTERS[kind].config_type
    fields = PROVIDERS[kind].model_fields
    assert set(config.model_fields) == set(fields)
    for name, field in config.model_fields.items():
        assert field.is_required() == fields[name].is_required()
        if not field.is_required():
            assert field.default == fields[name].default


@pytest.mark.parametrize("kind", URLS)
def test_a_block_seals_where_a_provider_is_and_gives_it_back(home: Path, kind: str) -> None:
    config = ADAPTERS[kind].config_type.from_url(URLS[kind], {"client_id": "us", "client_secret": "s3cret"})
    block = PROVIDERS[kind].of(config)
    sealed = [value.get_secret_value() for _, value in block if isinstance(value, SecretStr)]
    assert len(sealed) >= 3
    assert all(map(is_sealed, sealed))
    assert "secret.example" not in repr(block)
    assert block.config() == config


def test_a_block_is_saved_and_removed_also_where_an_event_loop_runs(home: Path) -> None:
    config = ADAPTERS["generic"].config_type.from_url(URLS["generic"], {"client_id": "us"})

    async def within(name: str) -> ProviderBlock | None:
        save(Kind.PROVIDER, name, PROVIDERS["generic"].of(config))
        found = everything(Kind.PROVIDER).get(name)
        remove(Kind.PROVIDER, name)
        return found  # type: ignore[return-value]

    assert asyncio.run(within("in-a-loop")) is not None
    assert "in-a-loop" not in everything(Kind.PROVIDER)
