"""Servers of one PostgreSQL that are stopped in a transaction, vanish, or meet a restore that is not done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd.stores.django.address import LONGEST_IDLE
from tests.build import PROJECT, record
from tests.server.process import ServerProcess
from tests.server.served import Reply
from tests.server.waiting import PATIENCE, until_status
from tests.servers.clients import sharing, until_logged
from tests.servers.server import Database, elsewhere
from tests.servers.test_serve_duty import until_waiting

#: Seconds after which PostgreSQL asks whether the machine at the other end is still there, and its default.
KEEPALIVE, DEFAULT_KEEPALIVE = 20.0, 7200.0


@pytest.mark.slow
async def test_process_that_is_stopped_in_a_write_delays_others_for_seconds(
    servers: list[ServerProcess], database: Database
) -> None:
    """Its own client is not told of a success when it continues."""
    stopped, _ = servers
    async with sharing(servers) as (of_stopped, of_other):
        await of_stopped.put(record("before"))  # so that it has prepared the statements
        replies: list[Reply] = []

        async def write() -> None:
            replies.append(await of_stopped.put(record("lost")))

        async with anyio.create_task_group() as group:
            connecting = database.server.connect(database.server.port, database.name)
            holder = await to_thread.run_sync(elsewhere, connecting)
            for statement in ("BEGIN", "LOCK TABLE smtd_change IN ACCESS EXCLUSIVE MODE"):
                await to_thread.run_sync(elsewhere, holder.rows(statement, ()))
            group.start_soon(write)
            await until_waiting(database, "INSERT INTO smtd_change")
            stopped.signal(signal.SIGSTOP)
            try:
                await to_thread.run_sync(elsewhere, holder.rows("COMMIT", ()))
                began = time.monotonic()
                with anyio.fail_after(PATIENCE):
                    while (await of_other.put(record("other"))).status == 503:
                        pass
                assert time.monotonic() - began < LONGEST_IDLE / 3
                assert replies == []
            finally:
                stopped.signal(signal.SIGCONT)
                await to_thread.run_sync(elsewhere, holder.close())

        assert [reply.status for reply in replies] == [503]
        for client in (of_stopped, of_other):
            assert (await client.get(f"records/{PROJECT}/lost/")).status == 404
            assert (await client.get(f"records/{PROJECT}/other/")).status == 200
        assert (await of_stopped.put(record("lost"))).status == 201


async def test_database_asks_whether_a_machine_is_still_there(
    servers: list[ServerProcess], database: Database
) -> None:
    """The kernel does, soon enough that a machine without power holds no lock for two hours."""
    async with sharing(servers):
        left = await to_thread.run_sync(_keepalives, database.server.port, {each.pid for each in servers})

    assert len(left) >= len(servers)
    assert max(left) <= KEEPALIVE < DEFAULT_KEEPALIVE


def _keepalives(port: int, clients_of: set[int]) -> list[float]:
    """Return the seconds to the next question on the connections at *port* that are of these processes."""
    ticks = os.sysconf("SC_CLK_TCK")
    inodes = {
        os.readlink(each)
        for pid in clients_of
        for each in Path(f"/proc/{pid}/fd").iterdir()
        if os.path.lexists(each)
    }
    ends, found = set(), []
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    for words in sockets:
        if f"socket:[{words[9]}]" in inodes and words[2].endswith(f":{port:04X}"):
            ends.add(words[1])
    for words in sockets:
        timer, _, when = words[5].partition(":")
        if words[2] in ends and words[1].endswith(f":{port:04X}") and timer == "02":
            found.append(int(when, 16) / ticks)
    return found


async def test_tables_that_a_restore_has_not_filled_yet_are_waited_for(
    servers: list[ServerProcess], database: Database
) -> None:
    """Both servers say so, and serve again once the rows are there."""
    async with sharing(servers) as both:
        await both[0].put(record("kept"))
        (row,) = await to_thread.run_sync(database.run, "SELECT * FROM smtd_head")
        await to_thread.run_sync(database.run, "DELETE FROM smtd_head")
        for server in servers:
            await until_logged(server, "the server waits until they are filled")

        places = ", ".join("?" * len(row))
        await to_thread.run_sync(database.run, f"INSERT INTO smtd_head VALUES ({places})", *row)

        for client in both:
            await until_status(client, 200, f"records/{PROJECT}/kept/")
        assert (await both[1].put(record("new"))).status == 201
