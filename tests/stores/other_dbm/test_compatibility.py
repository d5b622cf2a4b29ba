"""The table in docs/reference/compatibility.md has these results for each Sumatra and kind of store."""

from __future__ import annotations

import dbm.dumb
import json
from pathlib import Path

from anyio import to_thread

from smtd.stores.access import Access
from smtd.stores.base import DONE, Change
from smtd.stores.discovery import find
from smtd.stores.driver import Driver
from smtd.stores.registry import open_store
from smtd.stores.shelf.driver import DUMB, GNU, NDBM, SQLITE3
from tests.build import record
from tests.peers.environments import Environment
from tests.stores import old_databases
from tests.stores.old_exports import SHAPES
from tests.stores.places import CORPUS, DjangoPlace, by_module, sqlite3_pickles

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "compatibility.md"
#: The shelves that real Sumatra made, by their version of Sumatra and Python.
SHELVES = {
    "0.2.1, Python 2.7": "c021_py27",
    "0.3.0, Python 2.7": "c030_py27",
    "0.4.0, Python 2.7": "c040_py27",
    "0.5.3, Python 2.7": "c053_py27",
    "0.6.0, Python 2.7": "c060_py27",
    "0.7.4, Python 2.7": "c074_py27",
    "0.7.4, Python 3.7": "c074_py37",
    "0.8.1": "c081_dumb",
}
DEVELOPMENT = "0.8 (development)"
COLUMNS = ["dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3", "SQLite", "export"]
BACKENDS = {
    DUMB: "dbm.dumb",
    GNU: "dbm.gnu",
    NDBM: "dbm.ndbm",
    SQLITE3: "dbm.sqlite3",
}


async def tried(path: Path, python: Path) -> tuple[Driver, str, dict[str, bytes]]:
    """Return the kind of store that smtd recognizes, what it can do with it, and the digests in it."""
    location = await to_thread.run_sync(find, str(path), Access(timezone="Europe/Paris", python=str(python)))
    async with open_store(location) as store:
        scan = await store.scan()
        assert not scan.unreadable
        found = await store.read(scan.digests)
        assert found.keys() == scan.digests.keys()
        new = record("new")
        (outcome,) = await store.write([Change(next(iter(found))._replace(label="new"), new, None)])
    can = "read, written" if outcome == DONE else "read"
    return location.driver, can, {key.label: digest for key, digest in scan.digests.items()}


def pickles(name: str) -> dict[bytes, bytes]:
    with dbm.dumb.open(str(CORPUS / name), "r") as shelf:
        return {key: shelf[key] for key in shelf}


def make_shelves(held: dict[bytes, bytes], directory: Path, python: Path) -> dict[Driver, Path]:
    """Make a shelf of *held* with each backend."""
    directory.mkdir()
    made = {kind: directory / kind.name.lower() for kind in BACKENDS}
    with dbm.dumb.open(str(made[DUMB]), "n") as dumb:
        for key, value in held.items():
            dumb[key] = value
    by_module(python, "dbm.gnu", made[GNU], held)
    by_module(python, "dbm.ndbm", made[NDBM], held)
    with sqlite3_pickles(made[SQLITE3]) as table:
        for key, value in held.items():
            table[key] = value
    return made


async def shelf_cells(name: str, directory: Path, python: Path) -> dict[str, str]:
    """Return a cell for each backend; all must hold the same records."""
    cells, contents = {}, []
    for kind, path in make_shelves(pickles(name), directory, python).items():
        found, cells[BACKENDS[kind]], digests = await tried(path, python)
        assert found is kind
        contents.append(digests)
    assert contents[0]
    assert all(content == contents[0] for content in contents)
    return cells


async def database_cell(version: str, directory: Path, python: Path) -> str:
    if version == "0.8.1":
        place = DjangoPlace(directory.with_suffix(".sqlite"))
        await place.put(record("old"))
        path = place.path
    else:
        path = old_databases.make(directory, version)
    return (await tried(path, python))[1]


async def export_cell(version: str, path: Path, python: Path) -> str:
    await to_thread.run_sync(path.write_text, json.dumps([SHAPES[version]]))
    return (await tried(path, python))[1]


async def test_table_has_the_tested_results(tmp_path: Path, dbm_environment: Environment) -> None:
    """If the results are wanted, put the table that this test prints into the document."""
    python = dbm_environment.python
    found: dict[str, dict[str, str]] = {}
    for row, (version, name) in enumerate(SHELVES.items()):
        family = version[:3]
        cells = await shelf_cells(name, tmp_path / f"shelf-{row}", python)
        cells["SQLite"] = await database_cell(
            version if version == "0.8.1" else family, tmp_path / f"database-{row}", python
        )
        cells["export"] = await export_cell(family, tmp_path / f"export-{row}.json", python)
        found[version] = cells
    development = {"SQLite": await database_cell(DEVELOPMENT, tmp_path / "development", python)}
    rows = {**found, DEVELOPMENT: development}

    lines = [f"| Sumatra | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for version, cells in sorted(rows.items()):
        lines.append(f"| {version} | {' | '.join(cells.get(name, '-') for name in COLUMNS)} |")
    table = "\n".join(lines)

    print(table)
    assert table in DOCUMENT.read_text(encoding="utf-8")
