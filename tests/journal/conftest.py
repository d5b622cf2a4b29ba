"""Fixtures of most tests of the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[PairJournal]:
    """The journal of a pair that was never synced."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        yield known
