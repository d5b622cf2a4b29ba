"""The server at which laptops meet: one process or several, which may be killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio
from anyio import to_thread
from yarl import URL

from campaigns.campaign import Tally
from tests.server.process import ServerProcess

#: Kills in a story, seconds before each of them, and seconds before the killed process starts again.
KILLS, WORK, DOWN = (1, 3), (0.1, 1.0), (0.0, 0.3)


@dataclass(frozen=True)
class Server:
    """One store at each of *urls*; its users are those of a Sumatra Server in tests."""

    urls: Sequence[str]
    #: Runs a statement in its database.
    run: Callable[..., list[tuple[Any, ...]]]
    #: The processes that may be killed: one at a time.
    mortal: Sequence[ServerProcess] = ()

    @property
    def roots(self) -> list[str]:
        """The addresses without the path of the records."""
        return [str(URL(url).origin()) for url in self.urls]

    async def disturb(self, chance: Random, tally: Tally) -> None:
        """Kill one of the processes some times, and start it again each time."""
        if not self.mortal:
            return
        process = chance.choice(self.mortal)
        for _ in range(chance.randint(*KILLS)):
            await anyio.sleep(chance.uniform(*WORK))
            process.signal(signal.SIGKILL)
            code = await to_thread.run_sync(process.ended)
            tally.counts["kills of a server"] += 1
            if code != -signal.SIGKILL:
                tally.differences.append(f"the server ended with {code} before it was killed")
            await anyio.sleep(chance.uniform(*DOWN))
            await to_thread.run_sync(process.start)
