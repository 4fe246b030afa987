"""Values that people write as one piece of text: ``zstd:3``, ``daily=7,within=2w``, ``ops:failure``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from core.errors import ConfigurationError


class Written(ABC):
    """A value that its text gives and that gives its text: ``parse`` and ``str`` undo each other.

    A field of a model takes the value or its text, and is stored as its text.
    """

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self:
        """Read the text. Raises ConfigurationError."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls._validate, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def _validate(cls, text: str) -> Self:
        try:
            return cls.parse(text)
        except ConfigurationError as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
