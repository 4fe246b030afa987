"""From an address (a saved name, a URL, or a sealed URL) to the adapter behind it.

Prefect is imported only where a saved block is really needed: it takes two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.database import ENGINES
from adapters.notification import CHANNELS
from adapters.oidc import PROVIDERS
from adapters.storage import STORAGES
from blocks.encryption_key import encryption_keys
from blocks.opening import opened_adapter
from core.container import ProfileKey
from core.errors import ConfigurationError
from core.fields import is_secret
from core.jobs import Address
from core.ports import DatabaseAdapter, NotificationAdapter, StorageAdapter

PLACE = "address"


def without_secrets(address: Address, adapter: Callable[[str], type[Any]]) -> str:
    """An address that may be shown, as a person could type it: a name, or a URL of this kind less what is secret in it.

    Raises ConfigurationError.
    """
    if address.is_name:
        return str(address)
    config = adapter(clear(address)).config_type
    url, _, query = clear(address).partition("?")
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    bare = f"{scheme}://{login.partition(':')[0]}{at}{host}{slash}{path}"
    options = query.split("&") if query else []
    whole = _secrets(config, _joined(url, options))
    without = {one: _joined(url, [other for other in options if other != one]) for one in options}
    return _joined(bare, [one for one in options if _secrets(config, without[one]) == whole])


def _joined(url: str, options: Sequence[str]) -> str:
    return f"{url}?{'&'.join(options)}" if options else url


def _secrets(config: type[Any], url: str) -> dict[str, Any]:
    try:
        said = config.from_url(url)
    except ConfigurationError:  # one that only works with its secrets: they are left out all the same
        return {}
    return {name: getattr(said, name) for name, field in config.model_fields.items() if is_secret(field)}


def seal(url: str) -> str:
    """A URL in the form in which it may become a flow's parameter. Raises EncryptionError."""
    return encryption_keys().seal(url, PLACE)


def clear(address: Address) -> str:
    """The URL of an address that is not a name, in clear. Raises WrongKey or EncryptionError."""
    return encryption_keys().unseal(address, PLACE) if address.is_sealed else str(address)


def open_source(address: Address) -> DatabaseAdapter:
    """The engine behind a source's or a target's address. Raises ConfigurationError and what opening raises."""
    if address.is_name:
        from blocks.saved import load_source

        return load_source(address).open()
    url = clear(address)
    source: DatabaseAdapter = _opened(engine_of(url), url)
    return source


def open_storage(address: Address) -> StorageAdapter:
    """The storage behind a destination's address. Raises ConfigurationError and what opening raises."""
    if address.is_name:
        from blocks.saved import load_storage

        return load_storage(address).open()
    url = clear(address)
    storage: StorageAdapter = _opened(storage_of(url), url)
    return storage


def open_channel(address: Address) -> NotificationAdapter:
    """The notification channel behind an address. Raises ConfigurationError and what opening raises."""
    if address.is_name:
        from blocks.saved import load_channel

        return load_channel(address).open()
    url = clear(address)
    channel: NotificationAdapter = _opened(channel_of(url), url)
    return channel


def engine_of(url: str) -> type[Any]:
    """The engine whose scheme a URL has. Raises ConfigurationError that lists the schemes there are."""
    return _by_scheme(url, ENGINES, "source")


def storage_of(url: str) -> type[Any]:
    """The kind of storage whose scheme a URL has. Raises ConfigurationError that lists the schemes there are."""
    return _by_scheme(url, STORAGES, "storage")


def channel_of(url: str) -> type[Any]:
    """The kind of channel whose scheme a URL has; what follows a plus sign in it is the channel's own matter.

    Raises ConfigurationError that lists the schemes there are.
    """
    scheme, colon, rest = url.partition(":")
    return _by_scheme(f"{scheme.partition('+')[0]}{colon}{rest}", CHANNELS, "notification channel")


def provider_of(url: str) -> type[Any]:
    """The kind of identity provider whose scheme a URL has. Raises ConfigurationError that lists the schemes."""
    return _by_scheme(url, PROVIDERS, "identity provider")


def _by_scheme(url: str, table: Mapping[str, type[Any]], what: str) -> type[Any]:
    scheme = url.partition(":")[0].lower()
    for adapter in table.values():
        if scheme in adapter.schemes:
            return adapter
    known = ", ".join(f"{scheme}://" for adapter in table.values() for scheme in adapter.schemes)
    raise ConfigurationError(
        f"{scheme}:// is not the scheme of a {what}" if "://" in url else "this is neither a saved name nor a URL",
        hint=f"a {what} is a saved name, or begins with one of: {known}",
    )


def _opened(adapter: type[Any], url: str) -> Any:
    return opened_adapter(adapter, adapter.config_type.from_url(url))


def profile_key(name: str | None) -> ProfileKey | None:
    """The key that seals new backups of a profile; None without a profile. Raises ConfigurationError."""
    return profile_keys(name)[0] if name else None


def profile_keys(name: str) -> tuple[ProfileKey, ...]:
    """Every key of a profile, newest first. Raises ConfigurationError for an unknown profile."""
    from blocks.saved import load_profile

    return load_profile(name).open(name)


def keyring() -> dict[str, ProfileKey]:
    """Every key of every profile, by its id: what a reader of backups may need."""
    from blocks.saved import profiles

    return {key.key_id: key for name, profile in profiles().items() for key in profile.open(name)}
