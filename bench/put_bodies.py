"""What smtd would PUT to a Sumatra Server for each record of a store.

    python -m bench.put_bodies STORE BODIES

writes it to the file BODIES, a JSON object of bodies by label, and prints how many it would send at once: at
the most, and at the least.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

from smtd.stores.discovery import find
from smtd.stores.http import form
from smtd.stores.http.concurrency import AT_ONCE, LEAST
from smtd.stores.registry import open_store


async def bodies(store: str) -> dict[str, str]:
    """Return what to PUT for each label."""
    async with open_store(find(store)) as opened:
        records = await opened.read(list((await opened.scan()).digests))
    return {key.label: form.body(record).decode() for key, record in records.items()}


def main(store: str, file: str) -> None:
    """Do it."""
    Path(file).write_text(json.dumps(anyio.run(bodies, store)), "utf-8")
    print(AT_ONCE, LEAST)


if __name__ == "__main__":
    main(*sys.argv[1:])
