"""Sumatra saves many records in a loop with its shelf open, while smtd reads and writes the shelf."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.errors import StoreError, StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.access import Access
from smtd.stores.discovery import find
from smtd.stores.memory import MemoryStore
from smtd.stores.registry import open_store
from tests.build import change
from tests.peers.environments import HERE, Environment
from tests.peers.stores import PeerStore

PROJECT = "sweep"
FEW, MANY = 25, 200
BACKENDS = ["dumb", "sqlite3"] if sys.version_info >= (3, 13) else ["dumb"]
#: Each save reads and rewrites the whole project, so that many take long.
LOOPS: list[Any] = [
    *((name, FEW) for name in BACKENDS),
    *(pytest.param((name, MANY), marks=pytest.mark.soak) for name in (*BACKENDS, "gnu", "ndbm")),
]


@pytest.fixture(params=LOOPS, ids=lambda loop: f"{loop[0]}, {loop[1]} records")
def loop_of(request: pytest.FixtureRequest) -> tuple[str, int]:
    """The dbm backend, and how many records are saved."""
    found: tuple[str, int] = request.param
    return found


@pytest.fixture
def count(loop_of: tuple[str, int]) -> int:
    return loop_of[1]


@pytest.fixture
def peer(request: pytest.FixtureRequest, loop_of: tuple[str, int], tmp_path: Path) -> PeerStore:
    """Sumatra at a shelf of each backend that its Python can have."""
    name = "plain_environment" if loop_of[0] == "sqlite3" else "dbm_environment"
    environment: Environment = request.getfixturevalue(name)
    made = PeerStore(environment, "shelf", tmp_path / "shelf" / "records", loop_of[0])
    made.make_many(PROJECT, 10)
    return made


def saving(peer: PeerStore, count: int) -> subprocess.Popen[str]:
    """Start the loop."""
    script = HERE / "scripts" / "save_in_a_loop.py"
    options = (f"--dbm={peer.dbm}", f"--count={count}")
    return subprocess.Popen(
        peer.environment.command("python", script, peer.path, PROJECT, "held", *options),
        cwd=peer.path.parent,
        env=peer.environment.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


class Mirror:
    """A store in memory that is kept in sync with the shelf."""

    def __init__(self, peer: PeerStore, state: Path) -> None:
        self.local = MemoryStore()
        self._peer, self._state = peer, state

    async def cycle(self) -> bool:
        """Run one cycle; say whether it ended, with all records of the mirror in the shelf."""
        location = await to_thread.run_sync(
            find, str(self._peer.path), Access(python=str(self._peer.environment.python))
        )
        async with (
            open_journal(self._state) as journal,
            open_store(location) as shelf,
            journal.pair(self.local.location, shelf.location) as known,
        ):
            try:
                report = await cycle.run(Pair("mirror", Both(self.local, shelf), known, Policy()))
            except StoreUnreachable:
                return False
            assert report.held == []
            return report.ok and not report.right.written

    def comment(self, label: str, outcome: str) -> None:
        """Comment on a record on this side."""
        key = next(key for key in self.local.records if key.label == label)
        self.local.put(PROJECT, change(self.local.records[key], outcome=outcome))


async def test_no_record_is_lost_and_no_save_fails(peer: PeerStore, count: int, tmp_path: Path) -> None:
    """Every save succeeds, no cycle sees fewer records than there were, and both sides agree in the end."""
    mirror = Mirror(peer, tmp_path / "state")
    await mirror.cycle()
    rounds, seen = 0, set(mirror.local.records)
    assert len(seen) == 10

    with saving(peer, count) as loop:
        while loop.poll() is None:
            mirror.comment("sweep-00003", f"after {rounds} rounds")
            try:
                await mirror.cycle()
            except StoreError as exc:
                pytest.fail(f"a bad read: {exc}")
            assert seen <= set(mirror.local.records)
            seen, rounds = set(mirror.local.records), rounds + 1
        said, errors = loop.communicate()
    for _ in range(5):
        if await mirror.cycle():
            break

    assert (loop.returncode, said.split()) == (0, ["ready", "done"]), errors
    assert rounds >= 1
    held = peer.dump()[PROJECT]
    assert {key.label for key in mirror.local.records} == held.keys()
    assert len(held) == count + 10
    assert held["sweep-00003"]["outcome"].startswith("after ")
