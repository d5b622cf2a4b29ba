"""Campaigns at two real `smtd serve` on one PostgreSQL, of which one is killed: a story and a history."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from campaigns.campaign import Tally
from campaigns.laptops import campaign as laptops
from campaigns.laptops.server import Server
from campaigns.registers import campaign as registers
from tests.servers.served import new_store, served
from tests.servers.server import DatabaseServer

#: A short story.
STORY = 0


def quiet(_text: str) -> None:
    """Report nothing."""


def told_at(server: Server, directory: Path) -> Tally:
    """Tell the short story at *server*."""
    tally = Tally("stories")
    with laptops.in_a_hurry():
        anyio.run(laptops.several, directory, [STORY], [server], tally, quiet)
    return tally


def check(tally: Tally) -> None:
    """Check that the story is told, with kills, and that all is right at its end."""
    assert (tally.count, tally.wrong) == (1, [])
    assert tally.counts["kills of a server"] > 0
    assert tally.counts["cycles"] > 0


@pytest.mark.slow
def test_laptops_at_two_servers_of_which_one_is_killed_lose_nothing(
    tmp_path: Path, postgresql_server: DatabaseServer
) -> None:
    """Nor is anything there twice or without a reason."""
    with laptops.two_processes(tmp_path / "servers", new_store(postgresql_server)) as server:
        check(told_at(server, tmp_path))


@pytest.mark.slow
def test_two_servers_of_one_database_are_linearizable(
    tmp_path: Path, postgresql_server: DatabaseServer
) -> None:
    """Though each request goes to any of them, and they are killed one at a time."""
    with served(tmp_path / "servers", new_store(postgresql_server), 2) as servers:
        tally = registers.run_at(servers, 1, quiet)

    assert (tally.count, tally.wrong) == (1, [])
    assert tally.counts["operations"] > 50
    assert tally.counts["SIGKILL"] + tally.counts["SIGTERM"] > len(servers)
