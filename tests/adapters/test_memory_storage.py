"""The memory fake keeps the promises of the real storages, so that tests above the adapters may rely on it."""

from __future__ import annotations

import pytest

from core.errors import StorageFull
from tests.adapters.storage_contract import StorageContract
from tests.fakes.storage import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def broken() -> MemoryStorage:
    storage = MemoryStorage()
    storage.put("held", [b"x"])
    storage.unreachable = True
    return storage


class TestMemoryStorage(StorageContract):
    """The whole contract."""

    def test_a_full_memory_keeps_nothing_of_the_object(self) -> None:
        storage = MemoryStorage(capacity=10)
        with pytest.raises(StorageFull, match="5 bytes"):
            storage.put("a", [b"12345678", b"1234567"])
        assert storage.objects == {}
