"""A database is exchanged while smtd looks at it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.django.sqlite import SqliteFile
from tests.build import full
from tests.stores.places import DjangoPlace


async def test_file_exchanged_during_a_look_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look uses a connection that was closed since; that is no bug in smtd."""
    left, right = DjangoPlace(tmp_path / "left"), DjangoPlace(tmp_path / "right")
    await left.put(full("run"))
    locations = Both(left.location, right.location)
    undisturbed, news = SqliteFile.is_undisturbed, iter([True])

    async def late(self: Any) -> bool:
        if self.path == left.path and next(news, False):
            await to_thread.run_sync(os.replace, tmp_path / "new", left.path)
        return await undisturbed(self)

    async with open_journal(tmp_path / "state") as journal, pairing.open_stores(locations) as stores:
        await pairing.sync(journal, "pair", locations, stores, Policy())
        await left.put(full("later"))
        await to_thread.run_sync(shutil.copy, left.path, tmp_path / "new")
        monkeypatch.setattr(SqliteFile, "is_undisturbed", late)

        with contextlib.suppress(StoreUnreachable):
            await pairing.sync(journal, "pair", locations, stores, Policy())
