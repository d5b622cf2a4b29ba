"""Another file takes the place of a store that continues from a token, with times in whole seconds."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from anyio import to_thread

from smtd.stores.base import ResumedStore
from smtd.stores.django import sqlite
from tests.build import change, record
from tests.stores.places import DjangoPlace
from tests.stores.test_coarse_times import Seconds

BEFORE = record("run", outcome="v001")


async def test_file_exchanged_while_its_commits_are_counted_has_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is new, and its commit counter says nothing about the old file."""
    Seconds(monkeypatch)
    place, other = DjangoPlace(tmp_path / "store"), DjangoPlace(tmp_path / "other")
    await place.put(BEFORE)
    shutil.copy(place.path, other.path)  # both continue from here with equal change counters
    await place.put(change(BEFORE, outcome="v002"))
    await other.put(change(BEFORE, outcome="v003"))

    async with place.open() as opened:
        store = cast(ResumedStore, opened)
        await store.scan()
        token = await store.token()
        assert token is not None
        asked = sqlite.SqliteFile._check_commits

        async def then(self: Any, **options: Any) -> Any:
            found = await asked(self, **options)
            with suppress(FileNotFoundError):
                await to_thread.run_sync(os.replace, other.path, place.path)
            return found

        monkeypatch.setattr(sqlite.SqliteFile, "_check_commits", then)
        await store.resume(token)
        monkeypatch.setattr(sqlite.SqliteFile, "_check_commits", asked)

        assert await store.token() is None  # no scan has seen the contents of the file
