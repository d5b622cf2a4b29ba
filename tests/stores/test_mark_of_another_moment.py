"""A directory is exchanged between the look at a file and the reading of its mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd.replacement import _File
from smtd.stores.location import Location
from tests.build import record
from tests.stores.places import DjangoPlace


async def test_mark_of_another_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise that file, a backup, would count as the store while the daemon runs."""
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
    exchange()  # a user mounts or moves the directory of the backup here

    def then(self: Location) -> Any:
        exchange()  # and removes it again
        return mark(self)

    monkeypatch.setattr(Location, "mark", then)
    await _File(location).read(before)
    monkeypatch.setattr(Location, "mark", mark)
    assert await _File(location).read(before) == (before, False)
    exchange()

    _, is_another = await _File(location).read(before)
    assert is_another
