"""A store of which one file is replaced by something else is told as that, and is back when the file is."""

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

#: A store, by the ending of the file of it that is replaced.
STORES: dict[str, tuple[Callable[[Path], DjangoPlace | ShelfPlace], str]] = {
    "sqlite": (DjangoPlace, ""),
    "log of sqlite": (DjangoPlace, "-wal"),
    "journal of sqlite": (DjangoPlace, "-journal"),
    "dumb data": (dumb_place, ".dat"),
    "dumb index": (dumb_place, ".dir"),
    "dbm.sqlite3": (sqlite3_place, ""),
}
#: What SQLite finds out by itself, reading a header.
SMALL = sorted(PLACES.keys() - {"sparse"})


@pytest.mark.parametrize("what", ["fifo", "directory", "loop"])
@pytest.mark.parametrize("of", STORES)
async def test_store_while_something_else_is_in_its_place(tmp_path: Path, of: str, what: str) -> None:
    """It neither hangs nor is it empty; what it holds is there again with the file."""
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


@pytest.mark.parametrize("what", SMALL)
async def test_name_of_what_is_no_file(tmp_path: Path, what: str) -> None:
    """It is said what is there."""
    make, said = PLACES[what]
    await to_thread.run_sync(make, tmp_path / "store")

    with pytest.raises(StoreUnreachable, match=said if what != "directory" else "not a Sumatra project"):
        await to_thread.run_sync(find, str(tmp_path / "store"))


@pytest.mark.parametrize(("kind", "ending"), [(DUMB, ".dat"), (SQLITE, "")])
def test_location_of_a_link_to_itself_has_a_name(tmp_path: Path, kind: Driver, ending: str) -> None:
    """The pair can say where its store should be."""
    PLACES["loop"][0](tmp_path / f"store{ending}")

    assert Location(kind, tmp_path / "store").name == str(tmp_path / "store")


@pytest.mark.parametrize("what", PLACES)
async def test_other_files_that_are_none(tmp_path: Path, what: str) -> None:
    """Project, configuration, password and certificate: each is told, and none is waited for."""
    make, said = PLACES[what]
    (tmp_path / ".smt").mkdir()
    place = tmp_path / ".smt" / "project"
    await to_thread.run_sync(make, place)

    def refused() -> None:
        with pytest.raises(StoreUnreachable, match=f"{said}|has no .smt/project"):
            find(str(tmp_path))
        with pytest.raises(config.ConfigError, match=said):
            config.load(place)
        with pytest.raises(UsageError, match=said):
            passwords.password("lab", config.StoreConfig(location="", password_file=str(place)))

    with anyio.fail_after(30):
        await to_thread.run_sync(refused)


@pytest.mark.parametrize("what", SMALL)
async def test_certificates_and_journal_that_are_no_files(tmp_path: Path, what: str) -> None:
    """As above."""
    make, said = PLACES[what]
    await to_thread.run_sync(make, tmp_path / "journal.sqlite")

    with anyio.fail_after(30):
        with pytest.raises(StoreRefused, match=said):
            await to_thread.run_sync(Trust(str(tmp_path / "journal.sqlite")).context)
        with pytest.raises(Exception, match=said):
            async with open_journal(tmp_path):
                pass


def replace(path: Path, aside: Path, make: Callable[[Path], object]) -> None:
    """Move the file at *path* aside, if there is one, and *make* something else in its place."""
    with suppress(FileNotFoundError):
        path.rename(aside)
    make(path)


def put_back(path: Path, aside: Path) -> None:
    """Remove what `replace` has made, and put the file back."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    with suppress(FileNotFoundError):
        aside.rename(path)
