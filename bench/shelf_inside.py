"""A first sync from a shelf to an SQLite store that is not there yet, inside one process, as in the daemon.

    python -m bench.shelf_inside SHELF DIRECTORY

prints how many seconds it took, without the start of the process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio

from smtd import pairing
from smtd.cli import collector
from smtd.engine.pair import Policy
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.locations import find


async def first_sync(shelf: str, directory: Path) -> float:
    """Return the seconds of a first sync of *shelf* to a new store in *directory*."""
    new = directory / "first-sync.sqlite"
    locations = Both(find(shelf), find(str(new), may_be_new=True))
    async with open_journal(directory / "journal") as journal, pairing.open_stores(locations) as stores:
        began = time.perf_counter()
        report = await pairing.sync(journal, "pair", locations, stores, Policy(insist=False))
        took = time.perf_counter() - began
    assert report.ok, report
    assert report.right.created == report.left.records, report
    return took


def main(shelf: str, directory: str) -> None:
    """Measure it."""
    collector.ease()
    print(anyio.run(first_sync, shelf, Path(directory)))


if __name__ == "__main__":
    main(*sys.argv[1:])
