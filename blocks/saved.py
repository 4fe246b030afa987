"""Saved blocks by kind and name: a source is looked up by its name alone, whatever engine it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import TypeVar, cast

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from blocks.api import prefect_api
from blocks.channels import CHANNELS, ChannelBlock
from blocks.profiles import EncryptionProfile
from blocks.providers import PROVIDERS, ProviderBlock
from blocks.sealed import SealedBlock
from blocks.sources import SOURCES, SourceBlock
from blocks.storages import STORAGES, StorageBlock
from core.errors import ConfigurationError, ConnectionError, WrongName
from core.jobs import SAVED_NAME
from core.masking import mask

AnyBlock = TypeVar("AnyBlock", bound=Block)


class Kind(StrEnum):
    """What can be saved under a name."""

    SOURCE = "source"
    STORAGE = "storage"
    PROFILE = "profile"
    NOTIFICATION = "notification"
    PROVIDER = "provider"

    @property
    def types(self) -> Sequence[type[SealedBlock]]:
        """The block types of this kind."""
        match self:
            case Kind.SOURCE:
                return tuple(SOURCES.values())
            case Kind.STORAGE:
                return tuple(STORAGES.values())
            case Kind.PROFILE:
                return (EncryptionProfile,)
            case Kind.NOTIFICATION:
                return tuple(CHANNELS.values())
            case Kind.PROVIDER:
                return tuple(PROVIDERS.values())

    @property
    def command(self) -> str:
        """The command that manages this kind."""
        return {Kind.PROFILE: "key", Kind.PROVIDER: "sso"}.get(self, self.value)


def save(kind: Kind, name: str, block: SealedBlock, *, replace: bool = False) -> None:
    """Save a block. Raises ConfigurationError for a name that is malformed, or taken unless ``replace``."""
    if not SAVED_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be a name",
            hint="use lower-case letters, digits and dashes, at most 63, for example: shop-prod",
        )
    with _client() as client:
        if not replace and _find(client, kind.types, name):
            raise ConfigurationError(
                f"there is a {kind} named {name} already",
                hint=f"choose another name, or {_way_out(kind, name)}",
            )
        # Where an event loop runs, Prefect would give a coroutine that nobody awaits, and save nothing.
        block.save(name, overwrite=replace, _sync=True)  # type: ignore[call-arg]


def _way_out(kind: Kind, name: str) -> str:
    if kind is Kind.PROFILE:
        return f"give it a new key: dbackup key rotate {name}"
    return f"remove it first: dbackup {kind.command} remove {name}"


def load(kind: Kind, name: str) -> SealedBlock:
    """The block saved under this name. Raises WrongName that says which exist."""
    with _client() as client:
        if found := _find(client, kind.types, name):
            return found
        others = ", ".join(_names(client, kind)) or "none is saved yet"
    raise WrongName(
        f"there is no {kind} named {name} (saved: {others})",
        hint=f"add it with: dbackup {kind.command} {'create' if kind is Kind.PROFILE else 'add'} {name}",
    )


def load_source(name: str) -> SourceBlock:
    """The saved source of this name. Raises ConfigurationError."""
    return cast(SourceBlock, load(Kind.SOURCE, name))


def load_storage(name: str) -> StorageBlock:
    """The saved storage of this name. Raises ConfigurationError."""
    return cast(StorageBlock, load(Kind.STORAGE, name))


def load_channel(name: str) -> ChannelBlock:
    """The saved notification channel of this name. Raises ConfigurationError."""
    return cast(ChannelBlock, load(Kind.NOTIFICATION, name))


def load_provider(name: str) -> ProviderBlock:
    """The saved identity provider of this name. Raises ConfigurationError."""
    return cast(ProviderBlock, load(Kind.PROVIDER, name))


def load_profile(name: str) -> EncryptionProfile:
    """The encryption profile of this name. Raises ConfigurationError."""
    return cast(EncryptionProfile, load(Kind.PROFILE, name))


def profiles() -> dict[str, EncryptionProfile]:
    """Every encryption profile by its name."""
    return cast(dict[str, EncryptionProfile], everything(Kind.PROFILE))


def load_foreign(name: str, *block_types: type[AnyBlock]) -> AnyBlock | None:
    """A block of somebody else's types, the first that has this name; None when there is none."""
    with _client() as client:
        return _find(client, block_types, name)


def everything(kind: Kind) -> dict[str, SealedBlock]:
    """Every saved block of a kind, by name, in alphabetical order."""
    with _client() as client:
        return dict(sorted(_blocks(client, kind).items()))


def remove(kind: Kind, name: str) -> None:
    """Forget a block. Raises ConfigurationError when there is none of this name."""
    block = load(kind, name)
    with _client():
        type(block).delete(name, _sync=True)  # type: ignore[call-arg] # as in save


@contextmanager
def _client() -> Iterator[SyncPrefectClient]:
    """A client of the Prefect API; what goes wrong with it is a ConnectionError."""
    with prefect_api() as api, get_client(sync_client=True) as client:
        try:
            yield client
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise ConnectionError(
                f"the Prefect API at {api.url} failed: {mask(str(error))}", hint="look at its log, then try again"
            ) from None


def _find(client: SyncPrefectClient, types: Sequence[type[AnyBlock]], name: str) -> AnyBlock | None:
    for block_type in types:
        try:
            document = client.read_block_document_by_name(name, block_type.get_block_type_slug())
        except ObjectNotFound:
            continue
        return _made(block_type, document)
    return None


def _blocks(client: SyncPrefectClient, kind: Kind) -> dict[str, SealedBlock]:
    return {
        str(document.name): _made(block_type, document)
        for block_type in kind.types
        for document in _documents(client, block_type)
    }


def _names(client: SyncPrefectClient, kind: Kind) -> list[str]:
    return sorted(str(document.name) for one in kind.types for document in _documents(client, one))


def _documents(client: SyncPrefectClient, block_type: type[SealedBlock]) -> list[BlockDocument]:
    """Every document of a type. The server gives all of them at once, whatever offset and limit it is asked for."""
    try:
        return client.read_block_documents_by_type(block_type.get_block_type_slug())
    except PrefectHTTPStatusError as error:
        if error.response.status_code == HTTPStatus.NOT_FOUND:  # no block of this type was ever saved
            return []
        raise


def _made(block_type: type[AnyBlock], document: BlockDocument) -> AnyBlock:
    return block_type._from_block_document(document)
