"""A directory is exchanged between the look at a file and its mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd.sameness import _File
from smtd.stores.location import Location
from tests.build import record
from tests.stores.places import DjangoPlace


async def test_mark_is_not_kept_for_a_file_that_it_is_not_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else that file, a backup, is taken for the store for as long as the daemon runs."""
    now, backup, aside = (tmp_path / name for name in ("now", "backup", "aside"))
    for directory in (now, backup):
        directory.mkdir()
        await DjangoPlace(directory / "store").put(record("run"))
    await DjangoPlace(now / "store").put(record("newest"))
    location = DjangoPlace(now / "store").location
    await anyio.sleep(0.05)  # the files are old

    def exchange() -> None:
        now.rename(aside)
        backup.rename(now)
        aside.rename(backup)

    before, _ = await _File(location).read("")
    mark = Location.mark
    exchange()  # somebody mounts, or moves, the directory of the backup here

    def then(self: Location) -> Any:
        exchange()  # and takes it away again
        return mark(self)

    monkeypatch.setattr(Location, "mark", then)
    await _File(location).read(before)
    monkeypatch.setattr(Location, "mark", mark)
    assert await _File(location).read(before) == (before, False)
    exchange()

    _, is_another = await _File(location).read(before)
    assert is_another
