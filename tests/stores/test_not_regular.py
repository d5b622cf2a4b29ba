"""A store is reported if something else is in place of one of its files, and works again with the file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd import config
from smtd.cli import passwords
from smtd.errors import StoreError, StoreRefused, StoreUnreachable, UsageError
from smtd.journal.journal import open_journal
from smtd.stores.discovery import find
from smtd.stores.django.driver import SQLITE
from smtd.stores.driver import Driver
from smtd.stores.http.session import Trust
from smtd.stores.location import Location
from smtd.stores.shelf.driver import DUMB
from tests.build import key, record
from tests.stores.places import DjangoPlace, ShelfPlace, dumb_place, sqlite3_place
from tests.test_regular import PLACES

#: A store, by the ending of its file that is replaced.
STORES: dict[str, tuple[Callable[[Path], DjangoPlace | ShelfPlace], str]] = {
    "sqlite": (DjangoPlace, ""),
    "log of sqlite": (DjangoPlace, "-wal"),
    "journal of sqlite": (DjangoPlace, "-journal"),
    "dumb data": (dumb_place, ".dat"),
    "dumb index": (dumb_place, ".dir"),
    "dbm.sqlite3": (sqlite3_place, ""),
}


@pytest.mark.parametrize("what", ["fifo", "directory", "loop"])
@pytest.mark.parametrize("of", STORES)
async def test_store_with_a_replaced_file_is_an_error_until_the_file_is_back(
    tmp_path: Path, of: str, what: str
) -> None:
    """smtd does not hang, and does not take the store for empty."""
    made, ending = STORES[of]
    place = made(tmp_path / "store")
    await place.put(record("first"))
    file = Path(f"{place.location.path}{ending}")
    aside = tmp_path / "aside"
    make, _ = PLACES[what]

    async with place.open() as store:
        await store.scan()
        await to_thread.run_sync(replace, file, aside, make)
        with anyio.fail_after(30), pytest.raises(StoreError, match="cannot be read"):
            await store.scan()
        await to_thread.run_sync(put_back, file, aside)
        assert set((await store.scan()).digests) == {key("first")}


@pytest.mark.parametrize(("kind", "ending"), [(DUMB, ".dat"), (SQLITE, "")])
def test_link_to_itself_has_a_location(tmp_path: Path, kind: Driver, ending: str) -> None:
    """So that the pair can say where its store should be."""
    PLACES["loop"][0](tmp_path / f"store{ending}")

    assert Location(kind, tmp_path / "store").name == str(tmp_path / "store")


@pytest.mark.parametrize("what", PLACES)
async def test_other_replaced_files_are_reported(tmp_path: Path, what: str) -> None:
    """Stores, projects, configuration, passwords, certificates, the journal: smtd waits for none of them."""
    make, said = PLACES[what]
    (tmp_path / ".smt").mkdir()
    place, journal = tmp_path / ".smt" / "project", tmp_path / "journal.sqlite"
    for path in (place, journal):
        await to_thread.run_sync(make, path)

    def refused() -> None:
        with pytest.raises(StoreUnreachable, match=f"{said}|has no .smt/project"):
            find(str(tmp_path))
        with pytest.raises(config.ConfigError, match=said):
            config.load(place)
        with pytest.raises(UsageError, match=said):
            passwords.password("lab", config.StoreConfig(location="", password_file=str(place)))
        if what == "sparse":  # SQLite detects the others by itself, and so does a look at a header
            return
        with pytest.raises(StoreUnreachable, match=said if what != "directory" else "not a Sumatra project"):
            find(str(journal))
        with pytest.raises(StoreRefused, match=said):
            Trust(str(journal)).context()

    with anyio.fail_after(30):
        await to_thread.run_sync(refused)
        if what != "sparse":
            with pytest.raises(Exception, match=said):
                async with open_journal(tmp_path):
                    pass


def replace(path: Path, aside: Path, make: Callable[[Path], object]) -> None:
    """Move the file at *path* aside, if it exists, and *make* something else in its place."""
    with suppress(FileNotFoundError):
        path.rename(aside)
    make(path)


def put_back(path: Path, aside: Path) -> None:
    """Remove what `replace` has made, and move the file back."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    with suppress(FileNotFoundError):
        aside.rename(path)
