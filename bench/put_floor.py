"""The least that it can take a Sumatra Server to get records: one PUT for each, some at once.

    python put_floor.py BODIES ADDRESS LOGIN AT_ONCE

BODIES is a JSON object of the body of each label. Nothing is looked at before or after.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp


async def main(bodies: dict[str, str], address: str, login: str, at_once: str) -> None:
    """Do it."""
    left = list(bodies.items())
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    async def put(session: aiohttp.ClientSession, most: int) -> None:
        for _ in range(most):
            if not left:
                return
            label, body = left.pop()
            async with session.put(f"{address}/{label}/", data=body) as answer:
                await answer.read()
                answer.raise_for_status()

    async with aiohttp.ClientSession(headers=headers) as session:
        # The first one alone: the server makes a row that many share twice, and then fails for good.
        await put(session, 1)
        await asyncio.gather(*[put(session, len(left)) for _ in range(int(at_once))])


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text("utf-8")), *sys.argv[2:]))
