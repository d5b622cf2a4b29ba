"""A store of the records of a parameter sweep, as smtd writes them.

python -m bench.sweep COUNT STORE [CHARACTERS]

CHARACTERS: how long the output of each run is, in place of 300 or so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from smtd.records.record import Component, DataKey, Dependency, Key, Parameters, Record
from smtd.stores.base import DONE, Change
from smtd.stores.discovery import find
from smtd.stores.registry import open_store
from tests.build import MOMENT, NODE, record

PROJECT = "sweep"
#: Records that are made at a time.
BATCH = 5000


def sweep(number: int, characters: int = 330) -> Record:
    """Return a record of 1 kB, as of a parameter sweep: parameters, an output and a log of its own.

    *characters*: about how long the log is.
    """
    output = DataKey(
        f"{number:06}/result.csv", f"{number:040x}", MOMENT, {"mimetype": "text/csv", "size": 4096}
    )
    return record(
        f"sweep-{number:06}",
        parameters=Parameters("SimpleParameterSet", f"seed = {number}\nalpha = {number / 7}\nsteps = 1000"),
        outcome=f"converged after {number} steps",
        output_data=(output,),
        dependencies=(Dependency("python", "numpy", "/opt/lib/numpy", "1.26.4", "", "attribute"),),
        platforms=(NODE,),
        launch_mode=Component("SerialLaunchMode", {"working_directory": "/code", "options": None}),
        stdout_stderr=f"step {number}: " + "the residual is small\n" * (characters // 22),
    )


async def fill(path: Path, count: int, *characters: int) -> None:
    """Make an SQLite store of *count* records, as `sweep` does."""
    async with open_store(find(str(path), may_be_new=True)) as store:
        for start in range(0, count, BATCH):
            made = [sweep(number, *characters) for number in range(start, min(start + BATCH, count))]
            done = await store.write([Change(Key(PROJECT, one.label), one, None) for one in made])
            assert done == [DONE] * len(made)


def main() -> None:
    """Make the store that the command line names."""
    count, store, *more = sys.argv[1:]
    anyio.run(fill, Path(store), int(count), *map(int, more))


if __name__ == "__main__":
    main()
