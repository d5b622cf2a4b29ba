"""The store in memory is the reference: it keeps the contract."""

from __future__ import annotations

import pytest

from tests.stores.contract import ResumedContract
from tests.stores.places import MemoryPlace, Place


class TestMemoryStore(ResumedContract):
    """The contract, kept in memory."""

    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()
