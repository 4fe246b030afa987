"""Saved sources, storages, notification channels and identity providers: add, list, test, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from actions.door import Identity, action
from actions.vouching import require_possible
from blocks.addresses import channel_of, engine_of, open_channel, open_source, open_storage, provider_of, storage_of
from core.errors import ConfigurationError, DBackupError
from core.identity import ProviderInfo
from core.jobs import Address
from core.permissions import Permission
from core.ports import DatabaseInfo, Markable, ServerInfo
from services import notifications

if TYPE_CHECKING:
    from blocks.channels import ChannelBlock
    from blocks.providers import ProviderBlock
    from blocks.saved import Kind
    from blocks.sources import SourceBlock
    from blocks.storages import StorageBlock

    AnyAdapterBlock = SourceBlock | StorageBlock | ChannelBlock | ProviderBlock


@dataclass(frozen=True)
class Saved:
    """One saved source, storage or channel, without its secrets; ``problem`` says why it cannot be opened."""

    name: str
    kind: str
    description: str
    problem: str = ""


@dataclass(frozen=True)
class NewProvider:
    """An identity provider by its address; ``facts`` are settings that do not stand in it, by their names."""

    url: str
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@action(Permission.SOURCES_WRITE)
def add_source(who: Identity, name: str, url: str) -> Saved:
    """Save a source under a name. Raises ConfigurationError for a bad URL or a name that is taken."""
    from blocks.saved import Kind, save
    from blocks.sources import SOURCES

    who.require(Permission.SOURCES_WRITE, name)
    adapter = engine_of(url)
    block = SOURCES[adapter.engine].of(adapter.config_type.from_url(url))
    save(Kind.SOURCE, name, block)
    return _described(name, block)


@action(Permission.STORAGES_WRITE)
def add_storage(who: Identity, name: str, url: str) -> Saved:
    """Save a storage under a name, after making its place where that is possible.

    Raises ConfigurationError for a bad URL or a name that is taken, StorageError when the place cannot be made.
    """
    from blocks.saved import Kind, save
    from blocks.storages import STORAGES

    adapter = storage_of(url)
    block = STORAGES[adapter.kind].of(adapter.config_type.from_url(url))
    if isinstance(place := block.open(), Markable):
        place.mark()
    save(Kind.STORAGE, name, block)
    return _described(name, block)


@action(Permission.NOTIFICATIONS_WRITE)
def add_channel(who: Identity, name: str, url: str) -> Saved:
    """Save a notification channel under a name. Raises ConfigurationError for a bad URL or a name that is taken."""
    from blocks.channels import CHANNELS
    from blocks.saved import Kind, save

    adapter = channel_of(url)
    block = CHANNELS[adapter.channel].of(adapter.config_type.from_url(url))
    save(Kind.NOTIFICATION, name, block)
    return _described(name, block)


@action(Permission.PROVIDERS_WRITE)
def add_provider(who: Identity, name: str, wish: NewProvider) -> Saved:
    """Save an identity provider under a name.

    Raises ConfigurationError for a bad URL, an impossible group or a name that is taken, and PermissionError unless an
    administrator asks.
    """
    from blocks.providers import PROVIDERS
    from blocks.saved import Kind, save

    adapter = provider_of(wish.url)
    block = PROVIDERS[adapter.kind].of(adapter.config_type.from_url(wish.url, wish.facts))
    require_possible(who, block)
    save(Kind.PROVIDER, name, block)
    return _described(name, block)


def _listed(kind: Kind) -> list[Saved]:
    from blocks.saved import everything

    return [_described(name, cast("AnyAdapterBlock", block)) for name, block in everything(kind).items()]


def _described(name: str, block: AnyAdapterBlock) -> Saved:
    adapter = block.adapter
    kind = getattr(adapter, "label", "")
    try:
        return Saved(name, kind, block.open().describe())
    except DBackupError as error:
        return Saved(name, kind, "", error.message)


@action(Permission.SOURCES_READ)
def sources(who: Identity) -> list[Saved]:
    """Every saved source that one may see."""
    from blocks.saved import Kind

    return [one for one in _listed(Kind.SOURCE) if who.reaches(Permission.SOURCES_READ, one.name)]


@action(Permission.STORAGES_READ)
def storages(who: Identity) -> list[Saved]:
    """Every saved storage."""
    from blocks.saved import Kind

    return _listed(Kind.STORAGE)


@action(Permission.NOTIFICATIONS_READ)
def channels(who: Identity) -> list[Saved]:
    """Every saved notification channel."""
    from blocks.saved import Kind

    return _listed(Kind.NOTIFICATION)


@action(Permission.PROVIDERS_READ)
def providers(who: Identity) -> list[Saved]:
    """Every saved identity provider."""
    from blocks.saved import Kind

    return _listed(Kind.PROVIDER)


@action(Permission.SOURCES_READ)
def test_source(who: Identity, source: Address) -> tuple[ServerInfo, list[DatabaseInfo]]:
    """Connect to a source; gives what answered and its databases."""
    who.require(Permission.SOURCES_READ, source)
    adapter = open_source(source)
    return adapter.probe(), list(adapter.databases())


@action(Permission.STORAGES_READ)
def test_storage(who: Identity, storage: Address) -> int | None:
    """Write, read and delete something on a storage; gives its free bytes, where that is known."""
    adapter = open_storage(storage)
    adapter.check()
    return adapter.free_space()


@action(Permission.NOTIFICATIONS_WRITE)
def test_channel(who: Identity, channel: Address) -> str:
    """Send a test message by a channel; gives what people call the channel. Raises why it was not delivered."""
    adapter = open_channel(channel)
    notifications.deliver(adapter, notifications.trial(), pauses=())
    return adapter.describe()


@action(Permission.PROVIDERS_READ)
def test_provider(who: Identity, name: str) -> ProviderInfo:
    """Ask an identity provider what it announces, and whether it knows us. Raises why it cannot be used."""
    from blocks.saved import load_provider

    return load_provider(name).open().check()


@action(Permission.SOURCES_WRITE)
def remove_source(who: Identity, name: str) -> None:
    """Forget a source. Its backups stay. Raises ConfigurationError while a job needs it."""
    from blocks.saved import Kind

    who.require(Permission.SOURCES_WRITE, name)
    _remove(Kind.SOURCE, name)


@action(Permission.STORAGES_WRITE)
def remove_storage(who: Identity, name: str) -> None:
    """Forget a storage. What lies on it stays. Raises ConfigurationError while a job needs it."""
    from blocks.saved import Kind

    _remove(Kind.STORAGE, name)


def _remove(kind: Kind, name: str) -> None:
    from blocks.saved import load, remove
    from deployments.jobs import using

    load(kind, name)
    if jobs := using(kind, name):
        raise ConfigurationError(
            f"the {kind} {name} is needed by the jobs: {', '.join(jobs)}",
            hint="delete these jobs first, or make them with another one",
        )
    remove(kind, name)


@action(Permission.NOTIFICATIONS_WRITE)
def remove_channel(who: Identity, name: str) -> None:
    """Forget a notification channel. Raises ConfigurationError while a job needs it."""
    from blocks.saved import Kind

    _remove(Kind.NOTIFICATION, name)


@action(Permission.PROVIDERS_WRITE)
def remove_provider(who: Identity, name: str) -> None:
    """Forget an identity provider. Whose account its people are stays known; sessions that live go on."""
    from blocks.saved import Kind, remove

    remove(Kind.PROVIDER, name)
