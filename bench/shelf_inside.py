"""A shelf and an SQLite store that is not there yet inside one process, as in the daemon: what cycles cost.

    python -m bench.shelf_inside SHELF DIRECTORY [changes]

prints one JSON object, as bench/steps.py describes it: of the first sync, and with `changes` of what follows
when others change a record of the shelf, which is written to then, or of the SQLite store, and of that alone.
"""

from __future__ import annotations

import dbm.dumb
import json
import sys
from pathlib import Path

import anyio
from msgspec import structs

from bench.edits import EDIT_REASON, FEW
from bench.inside import SETTLED, commit, kept_open
from bench.steps import Steps
from smtd.cli import gc_tuning
from smtd.merge.sides import Both
from smtd.records import canonical
from smtd.records.record import Key
from smtd.stores.base import DONE, Change
from smtd.stores.discovery import find
from smtd.stores.registry import open_store


async def run(shelf: Path, directory: Path, steps: Steps, *, changes: bool) -> None:
    """Run the first sync from *shelf* to a new store in *directory*, and what follows after *changes*."""
    new = directory / "new.sqlite"
    locations = Both(find(str(shelf)), find(str(new), may_be_new=True))
    async with kept_open(directory, locations, steps) as cycle:
        keys = await _keys(shelf)
        await steps.measure("first", cycle, right=len(keys))
        if not changes:
            return
        await _edit(shelf, keys[0], "warm-up")
        await steps.measure("second", cycle, right=1)
        for turn in range(FEW):
            await steps.measure("nothing", cycle)
            await _edit(shelf, keys[0], f"edit {turn}")
            await steps.measure("edit of the shelf", cycle, right=1)
            await commit(new, EDIT_REASON, f"edit {turn} of the database")
            await steps.measure("edit of the database", cycle, left=1)
        for turn in range(FEW):
            await commit(new, EDIT_REASON, f"edit {turn} of the database alone")
            await steps.measure("edit of the database alone", cycle, left=1)
        steps.costs["shelf"] = {"bytes": _live(shelf)}


async def _keys(shelf: Path) -> list[Key]:
    async with open_store(find(str(shelf))) as store:
        return sorted((await store.scan()).digests)


async def _edit(shelf: Path, key: Key, outcome: str) -> None:
    """Change a record of *shelf*, and wait until that is settled."""
    async with open_store(find(str(shelf))) as store:
        record = (await store.read([key]))[key]
        edited = structs.replace(record, outcome=outcome)
        assert await store.write([Change(key, edited, canonical.digest(record))]) == [DONE]
    await anyio.sleep(SETTLED)


def _live(shelf: Path) -> int:
    """Return the bytes of the pickles in *shelf*; its file also holds what they were before."""
    with dbm.dumb.open(str(shelf), "r") as file:
        return sum(len(file[key]) for key in file)


def main(shelf: str, directory: str, *what: str) -> None:
    """Measure what the command line asks for."""
    gc_tuning.tune()
    steps = Steps()
    anyio.run(lambda: run(Path(shelf), Path(directory), steps, changes="changes" in what))
    print(json.dumps(steps.costs))


if __name__ == "__main__":
    main(*sys.argv[1:])
