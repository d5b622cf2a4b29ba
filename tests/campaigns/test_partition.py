"""Laptops that are cut off from their server while people work on all sides: a few seconds of it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from campaigns.partition import campaign
from campaigns.partition.cable import cable_to
from campaigns.partition.people import SHARES


def quiet(_text: str) -> None:
    """Report nothing."""


@pytest.mark.slow
def test_partition_heals_and_nothing_is_lost(tmp_path: Path) -> None:
    """Every word that was written on either side of the cut is on both, and what was deleted is gone."""
    tally = campaign.run_with(tmp_path, 2.0, 50, quiet)

    assert tally.wrong == []
    assert sum(tally.counts[what] for what in SHARES) == 150
    assert tally.counts["deletions"] > 0


@pytest.mark.parametrize("refuses", [False, True])
async def test_cable_that_is_cut_lets_nothing_through(refuses: bool) -> None:
    """What was sent before arrives when it is whole again; new connections wait, or end at once."""
    received = bytearray()

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for data in stream:
                received.extend(data)
                await stream.send(data)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with cable_to(port, refuses=refuses) as cable, await connected(cable.port) as before:
            await before.send(b"1")
            assert await before.receive() == b"1"
            cable.cut()
            await before.send(b"2")
            async with await connected(cable.port) as new:
                if refuses:
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await new.receive()
                else:
                    await new.send(b"3")
                    await anyio.wait_all_tasks_blocked()
                assert received == b"1"

                cable.heal()

                assert await before.receive() == b"2"
                if not refuses:
                    assert await new.receive() == b"3"
        group.cancel_scope.cancel()


async def connected(port: int) -> anyio.abc.SocketStream:
    return await anyio.connect_tcp("127.0.0.1", port)
