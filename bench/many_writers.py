"""Many writers on few labels, all at once, each over its own connection.

    python many_writers.py BODIES ADDRESS LOGIN WRITERS LABELS TURNS

ADDRESS is that of the project; all records have the first of BODIES. Prints as JSON how often the server
answered each status, how many labels can no longer be read, written or listed (*dead*), how many hold what is
not the last write of any writer (*wrong*), and the seconds that the writes took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp


class Writers:
    """The clients that write to the project at *address*."""

    def __init__(self, template: dict[str, Any], address: str, headers: dict[str, str]) -> None:
        self._template = template
        self._address = address
        self._headers = headers
        self.statuses: Counter[int] = Counter()
        #: By label and writer: the last outcome that the server acknowledged.
        self._last: dict[str, dict[int, str]] = {}

    async def write(self, writer: int, labels: int, turns: int) -> None:
        """Put *turns* records, each to the next label."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            for turn in range(turns):
                label, outcome = f"label-{(writer + turn) % labels}", f"writer {writer} turn {turn}"
                status = await self.put(session, label, outcome)
                self.statuses[status] += 1
                if status in (200, 201):
                    self._last.setdefault(label, {})[writer] = outcome

    async def put(self, session: aiohttp.ClientSession, label: str, outcome: str) -> int:
        """Put one record, and return the status."""
        body = json.dumps({**self._template, "label": label, "outcome": outcome}).encode()
        async with session.put(f"{self._address}/{label}/", data=body) as answer:
            await answer.read()
            return answer.status

    async def look(self, labels: int) -> tuple[int, int]:
        """Return how many labels are dead, and how many hold something wrong."""
        dead = wrong = 0
        async with aiohttp.ClientSession(headers=self._headers) as session:
            async with session.get(f"{self._address}/") as answer:
                listed = Counter(
                    url.rstrip("/").rpartition("/")[2] for url in (await answer.json())["records"]
                )
            for label in [f"label-{number}" for number in range(labels)]:
                async with session.get(f"{self._address}/{label}/") as answer:
                    body = await answer.read()
                is_read = answer.status == 200 and listed[label] == 1
                if not is_read or await self.put(session, label, "afterwards") != 200:
                    dead += 1
                elif json.loads(body)["outcome"] not in self._last[label].values():
                    wrong += 1
        return dead, wrong


async def main(
    template: dict[str, Any], address: str, login: str, writers: int, labels: int, turns: int
) -> None:
    """Measure, and print the result."""
    headers = {
        "Authorization": f"Basic {login}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    all_of_them = Writers(template, address, headers)
    began = time.perf_counter()
    await asyncio.gather(*[all_of_them.write(writer, labels, turns) for writer in range(writers)])
    seconds = time.perf_counter() - began
    dead, wrong = await all_of_them.look(labels)
    found = {"statuses": all_of_them.statuses, "dead": dead, "wrong": wrong, "seconds": seconds}
    print(json.dumps(found))


if __name__ == "__main__":
    bodies = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    first = json.loads(next(iter(bodies.values())))
    asyncio.run(main(first, sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))
