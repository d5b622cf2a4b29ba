"""The dbm.sqlite3 of Python 3.13; older Pythons do not collect this file."""

from __future__ import annotations

import dbm
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.peers.environments import Environment
from tests.peers.fixtures import RICH
from tests.peers.stores import PeerStore


def test_write_to_an_open_sqlite3_shelf_stays(plain_environment: Environment, tmp_path: Path) -> None:
    """Another process has the shelf open."""
    shelf = PeerStore(plain_environment, "shelf", tmp_path / "records", "sqlite3")
    shelf.make_many("sweep", 1)

    with shelf.held("sweep", "held"):
        shelf.edit("sweep", "sweep-00000", outcome="precious")

    after = shelf.dump()["sweep"]
    assert sorted(after) == ["held", "held-2", "sweep-00000"]
    assert after["sweep-00000"]["outcome"] == "precious"


def test_python_accepts_the_converted_shelf(
    tmp_path: Path, plain_environment: Environment, rich_sqlite3_shelf: Path
) -> None:
    """As one of its own, and Sumatra on it."""
    own = tmp_path / "own"
    with dbm.open(str(own), "n") as made:
        made["key"] = b"value"
    schemas = []
    for path in (own, rich_sqlite3_shelf):
        with closing(sqlite3.connect(path)) as database:
            schemas.append(database.execute("SELECT type, name, sql FROM sqlite_master").fetchall())

    assert dbm.whichdb(str(rich_sqlite3_shelf)) == "dbm.sqlite3"
    assert schemas[0] == schemas[1]
    assert "diff" in PeerStore(plain_environment, "shelf", rich_sqlite3_shelf).dump()[RICH]
