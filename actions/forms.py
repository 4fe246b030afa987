"""Saved sources, storages, channels and identity providers by their fields, as a form shows and gives them.

Secrets go in and never come out: a form is told which of them are set, and nothing more. On a change, a secret that
is not given stays as it is, unless the address changes that it is sent to: whoever may change a source could have its
password sent to themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from actions import vouching
from actions.door import Identity, action
from adapters.database import ENGINES
from adapters.notification import CHANNELS
from adapters.oidc import PROVIDERS
from adapters.storage import STORAGES
from core.errors import ConfigurationError
from core.fields import RECEIVES, UNASKED, has, is_secret, label, validated
from core.permissions import Permission
from core.ports import Markable

if TYPE_CHECKING:
    from blocks.saved import Kind
    from blocks.sealed import AdapterBlock

Given = Mapping[str, Any]
"""What a form gives: a value for each field that is filled in. None takes a secret away; one left out stays."""
Approve = Callable[[Any], None]
"""Raises what stands against saving a block that could be made."""


@dataclass(frozen=True)
class Form:
    """What can be said of a source, storage or channel of one kind, and what is said of a saved one."""

    kind: str  # as people call it: the adapter's label
    config: type[BaseModel]
    values: Mapping[str, Any] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()  # the names of those that are set


@action(Permission.SOURCES_READ)
def source_forms(who: Identity) -> tuple[Form, ...]:
    """An empty form for each engine."""
    return _forms(ENGINES)


@action(Permission.STORAGES_READ)
def storage_forms(who: Identity) -> tuple[Form, ...]:
    """An empty form for each kind of storage."""
    return _forms(STORAGES)


@action(Permission.NOTIFICATIONS_READ)
def channel_forms(who: Identity) -> tuple[Form, ...]:
    """An empty form for each kind of channel."""
    return _forms(CHANNELS)


@action(Permission.SOURCES_WRITE)
def source_form(who: Identity, name: str) -> Form:
    """What is said of a saved source. Raises ConfigurationError when there is none of this name."""
    from blocks.saved import Kind

    who.require(Permission.SOURCES_WRITE, name)
    return _filled(_loaded(Kind.SOURCE, name))


@action(Permission.STORAGES_WRITE)
def storage_form(who: Identity, name: str) -> Form:
    """What is said of a saved storage. Raises ConfigurationError when there is none of this name."""
    from blocks.saved import Kind

    return _filled(_loaded(Kind.STORAGE, name))


@action(Permission.NOTIFICATIONS_WRITE)
def channel_form(who: Identity, name: str) -> Form:
    """What is said of a saved channel. Raises ConfigurationError when there is none of this name."""
    from blocks.saved import Kind

    return _filled(_loaded(Kind.NOTIFICATION, name))


@action(Permission.SOURCES_WRITE)
def add_source(who: Identity, name: str, kind: str, given: Given) -> None:
    """Save a new source. Raises ConfigurationError for what cannot be used, or a name that is taken."""
    from blocks.saved import Kind

    who.require(Permission.SOURCES_WRITE, name)
    _add(Kind.SOURCE, name, kind, given)


@action(Permission.STORAGES_WRITE)
def add_storage(who: Identity, name: str, kind: str, given: Given) -> None:
    """Save a new storage, after making its place where that is possible. Raises as :func:`add_source`."""
    from blocks.saved import Kind

    _add(Kind.STORAGE, name, kind, given)


@action(Permission.NOTIFICATIONS_WRITE)
def add_channel(who: Identity, name: str, kind: str, given: Given) -> None:
    """Save a new channel. Raises as :func:`add_source`."""
    from blocks.saved import Kind

    _add(Kind.NOTIFICATION, name, kind, given)


@action(Permission.SOURCES_WRITE)
def change_source(who: Identity, name: str, given: Given) -> None:
    """Make a saved source what is given. Raises ConfigurationError for what cannot be used, or a secret to repeat."""
    from blocks.saved import Kind

    who.require(Permission.SOURCES_WRITE, name)
    _change(Kind.SOURCE, name, given)


@action(Permission.STORAGES_WRITE)
def change_storage(who: Identity, name: str, given: Given) -> None:
    """Make a saved storage what is given. What lies at the old place stays there. Raises as :func:`change_source`."""
    from blocks.saved import Kind

    _change(Kind.STORAGE, name, given)


@action(Permission.NOTIFICATIONS_WRITE)
def change_channel(who: Identity, name: str, given: Given) -> None:
    """Make a saved channel what is given. Raises as :func:`change_source`."""
    from blocks.saved import Kind

    _change(Kind.NOTIFICATION, name, given)


@action(Permission.PROVIDERS_READ)
def provider_forms(who: Identity) -> tuple[Form, ...]:
    """An empty form for each kind of identity provider."""
    return _forms(PROVIDERS)


@action(Permission.PROVIDERS_WRITE)
def provider_form(who: Identity, name: str) -> Form:
    """What is said of a saved identity provider. Raises ConfigurationError when there is none of this name."""
    from blocks.saved import Kind

    return _filled(_loaded(Kind.PROVIDER, name))


@action(Permission.PROVIDERS_WRITE)
def add_provider(who: Identity, name: str, kind: str, given: Given) -> None:
    """Save a new identity provider. Raises as :func:`add_source`, and PermissionError unless an administrator asks."""
    from blocks.saved import Kind

    _add(Kind.PROVIDER, name, kind, given, partial(vouching.require_possible, who))


@action(Permission.PROVIDERS_WRITE)
def change_provider(who: Identity, name: str, given: Given) -> None:
    """Make a saved identity provider what is given. Raises as :func:`add_provider`."""
    from blocks.saved import Kind

    _change(Kind.PROVIDER, name, given, partial(vouching.require_possible, who))


def _forms(adapters: Mapping[str, type[Any]]) -> tuple[Form, ...]:
    return tuple(Form(adapter.label, adapter.config_type) for adapter in adapters.values())


def _filled(block: AdapterBlock) -> Form:
    adapter, said = block.adapter, block.opened()
    secrets = _secrets(adapter.config_type)
    shown = {name: said[name] for name in said.keys() - secrets - _unasked(adapter.config_type)}
    return Form(adapter.label, adapter.config_type, shown, frozenset(secrets & said.keys()))


def _add(kind: Kind, name: str, wanted: str, given: Given, approve: Approve = lambda _: None) -> None:
    from blocks.saved import save

    block_type = next((one for one in _block_types(kind) if one.adapter.label == wanted), None)
    if block_type is None:
        raise ConfigurationError(f"there is no {kind} of the kind {wanted!r}", hint="choose one of the list")
    block = _made(block_type, {field: value for field, value in given.items() if value is not None})
    approve(block)
    save(kind, name, block)


def _change(kind: Kind, name: str, given: Given, approve: Approve = lambda _: None) -> None:
    from blocks.saved import save

    old = _loaded(kind, name)
    config, said = old.adapter.config_type, old.opened()
    kept = {field: said[field] for field in (_secrets(config) | _unasked(config)) & said.keys()}
    new = {field: value for field, value in {**kept, **given}.items() if value is not None}
    block = _made(type(old), new)
    if repeated := sorted(field for field in kept.keys() & _secrets(config) if field not in given):
        _require_same_address(old, block, repeated)
    approve(block)
    save(kind, name, block, replace=True)


def _made(block_type: type[AdapterBlock], facts: Given) -> AdapterBlock:
    """The block, opened once, so that what cannot be used is not saved, and its place made where that is possible."""
    block = block_type.of(validated(block_type.adapter.config_type, facts))
    place = cast("Any", block).open()
    if isinstance(place, Markable):
        place.mark()
    return block


def _require_same_address(old: AdapterBlock, new: AdapterBlock, secrets: Iterable[str]) -> None:
    config = old.adapter.config_type
    before, after = (config.model_validate(one.opened()) for one in (old, new))
    receiving = [name for name, field in config.model_fields.items() if has(field, RECEIVES)]
    if changed := [name for name in receiving if getattr(before, name) != getattr(after, name)]:
        wanted = ", ".join(label(config, name) for name in secrets)
        raise ConfigurationError(
            f"{label(config, changed[0])} is another: the saved secrets are not sent there",
            hint=f"give them again: {wanted}",
        )


def _loaded(kind: Kind, name: str) -> AdapterBlock:
    from blocks.saved import load

    return cast("AdapterBlock", load(kind, name))


def _block_types(kind: Kind) -> Iterable[type[AdapterBlock]]:
    return cast("Iterable[type[AdapterBlock]]", kind.types)


def _secrets(config: type[BaseModel]) -> set[str]:
    return {name for name, field in config.model_fields.items() if is_secret(field)}


def _unasked(config: type[BaseModel]) -> set[str]:
    return {name for name, field in config.model_fields.items() if has(field, UNASKED)}
