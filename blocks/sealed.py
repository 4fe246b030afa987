"""The base of our blocks: whatever is a SecretStr is sealed the moment the block is made.

So no plain secret can reach Prefect, whoever saves the block; it exists only in what :meth:`SealedBlock.opened`
gives. The place a value is sealed for is ``<block type>/<field>``. A value that a person gives is never taken for a
sealed one, whatever it looks like; only what comes back from Prefect may be.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, ClassVar, Self

from prefect.blocks.core import Block
from prefect.client.schemas.objects import BlockDocument
from pydantic import BaseModel, SecretStr, ValidationInfo, field_validator

from blocks.encryption_key import encryption_keys
from blocks.opening import opened_adapter
from core.sealing import is_sealed

_loading: ContextVar[bool] = ContextVar("loading", default=False)


class SealedBlock(Block):
    """A block whose secret fields are sealed under the ENCRYPTION_KEY."""

    _is_anonymous = False

    @field_validator("*", mode="after")
    @classmethod
    def _seal(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, SecretStr) or (_loading.get() and is_sealed(value.get_secret_value())):
            return value
        return SecretStr(encryption_keys().seal(value.get_secret_value(), cls._place(info.field_name)))

    @classmethod
    def _from_block_document(cls, block_document: BlockDocument) -> Self:
        """The one door for values that are sealed already: those that Prefect gives back."""
        token = _loading.set(True)
        try:
            return super()._from_block_document(block_document)
        finally:
            _loading.reset(token)

    @classmethod
    def __dispatch_key__(cls) -> str | None:
        """What Prefect finds a block's class by. It would build the whole schema of each class to read this of it."""
        return cls.get_block_type_slug()

    @classmethod
    def _place(cls, field: str | None) -> str:
        return f"{cls.get_block_type_slug()}/{field}"

    def opened(self) -> dict[str, Any]:
        """The fields in clear, without those that are unset. Raises WrongKey or EncryptionError."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: self._open(name, value) for name, value in fields.items() if value is not None}

    def resealed(self) -> Self | None:
        """The same block under the current ENCRYPTION_KEY, or None when it is so already. Raises WrongKey."""
        secrets = [value for value in (getattr(self, name) for name in type(self).model_fields) if value is not None]
        sealed = [value.get_secret_value() for value in secrets if isinstance(value, SecretStr)]
        return None if all(map(encryption_keys().is_current, sealed)) else type(self)(**self.opened())

    def _open(self, field: str, value: Any) -> Any:
        if not isinstance(value, SecretStr):
            return value
        return encryption_keys().unseal(value.get_secret_value(), self._place(field))


class AdapterBlock(SealedBlock):
    """A block with the fields of an adapter's own configuration."""

    adapter: ClassVar[type[Any]]

    @classmethod
    def of(cls, config: BaseModel) -> Self:
        """The block that keeps a configuration; for what it leaves open, the block has defaults of its own."""
        said = config.model_fields_set | {name for name, field in cls.model_fields.items() if field.is_required()}
        return cls(**{name: value for name, value in config if name in said and value is not None})

    def _adapter(self) -> Any:
        return opened_adapter(self.adapter, self.adapter.config_type.model_validate(self.opened()))
