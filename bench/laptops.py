"""Laptops that listen to a server's feed, while some of them change records.

    python -m bench.laptops ROOT PID LAPTOPS RATE SECONDS LOGIN...

ROOT is the address of `smtd serve`, PID its process. Each laptop has its own stream with the records of all
changes; together they change RATE records a second. Prints as JSON the *lags* from a PUT to its event, for
every change at every laptop, as p50, p99 and longest, their *count*, and the *share* of a core that the
server used.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import aiohttp
import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from bench.measure import CommandFailed, cpu_seconds
from bench.workplace import PROJECT
from tests.server.served import Client
from tests.server.streams import streaming

#: Seconds after the last change within which every laptop must have received every change.
PATIENCE = 60.0


@dataclass
class Laptop:
    """One laptop, and when it received each outcome; *done* is set when it has *expected* of them."""

    client: Client
    expected: int
    done: anyio.Event = field(default_factory=anyio.Event)
    heard: dict[str, float] = field(default_factory=dict)

    async def listen(self, since: int, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Listen from number *since* on, until cancelled."""
        async with streaming(self.client, f"since={since}&include=records") as stream:
            while (event := await stream.block()) is not None:
                if event.data is not None:
                    self.take(event.data)
                elif event.id is not None:
                    task_status.started()
        raise CommandFailed("a stream has ended")

    def take(self, change: Any) -> None:
        """Take one change of the feed."""
        self.heard[change["record"]["outcome"]] = time.perf_counter()
        if len(self.heard) == self.expected:
            self.done.set()

    async def change(self, label: str, outcome: str) -> None:
        """Change one record."""
        body = json.dumps({"reason": "to see", "outcome": outcome, "tags": ["_finished_"]}).encode()
        reply = await self.client.ask("PUT", f"records/{PROJECT}/{label}/", body)
        if reply.status != 200:
            raise CommandFailed(f"{label}: {reply.status}: {reply.body!r}")


async def change_all(laptops: list[Laptop], rate: int, count: int) -> dict[str, float]:
    """Change *count* different records; return when each outcome was sent."""
    sent: dict[str, float] = {}
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for number in range(count):
            await anyio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            outcome = f"change {number}"
            sent[outcome] = time.perf_counter()
            group.start_soon(laptops[number % len(laptops)].change, f"sweep-{number:06}", outcome)
    return sent


async def main(root: str, pid: int, count: int, rate: int, seconds: int, logins: list[str]) -> None:
    """Measure, and print the result."""
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        laptops = []
        for number in range(count):
            session = await stack.enter_async_context(aiohttp.ClientSession())
            login = {"Authorization": f"Basic {logins[number % len(logins)]}"}
            laptops.append(Laptop(Client(root, session, login), rate * seconds))
        # Every laptop first reads the feed from 0 on; its stream then begins at the end of the feed.
        heads = [(await laptop.client.changes(0)).json for laptop in laptops]
        while any(page["more"] for page in heads):
            heads = [(await laptops[0].client.changes(heads[0]["next"])).json]
        for laptop in laptops:
            await group.start(laptop.listen, heads[0]["next"])
        before, began = cpu_seconds(pid), time.perf_counter()
        sent = await change_all(laptops, rate, rate * seconds)
        with anyio.fail_after(PATIENCE):
            for laptop in laptops:
                await laptop.done.wait()
        share = (cpu_seconds(pid) - before) / (time.perf_counter() - began)
        group.cancel_scope.cancel()
    lags = [laptop.heard[outcome] - moment for laptop in laptops for outcome, moment in sent.items()]
    cuts = quantiles(lags, n=100)
    print(json.dumps({"lags": [cuts[49], cuts[98], max(lags)], "share": share, "count": len(lags)}))


if __name__ == "__main__":
    address, *numbers = sys.argv[1:6]
    pid, count, rate, seconds = map(int, numbers)
    anyio.run(main, address, pid, count, rate, seconds, sys.argv[6:])
