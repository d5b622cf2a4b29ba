"""How far a pair has come: the cursors of its sides, and the keys that are not in sync."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from smtd.journal.entries import columns, key_of
from smtd.journal.index import Cursor
from smtd.journal.orientation import PairPart
from smtd.merge.sides import Both, Side
from smtd.records.record import Key
from smtd.sqlite import Connection, at_once


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of a cycle: it dealt with all changes up to *cursors* in *projects* (None: in all).

    `Checkpoints.out_of_sync` lists the keys that are still to be dealt with. *report* is the report of the
    cycle under the policy with the fingerprint *policy* (None: another cycle has begun since, or the next one
    would report something else).
    """

    cursors: Both[Cursor]
    projects: frozenset[str] | None
    policy: str = ""
    report: bytes | None = None

    def covers(self, projects: frozenset[str] | None) -> bool:
        """Say whether the checkpoint covers all of *projects* (None: every project)."""
        if self.projects is None:
            return True
        return projects is not None and projects <= self.projects


class Rotation(NamedTuple):
    """How far the rereading of a side has come: the last key read, and when (seconds since 1970)."""

    after: Key | None
    at: float


class Checkpoints(PairPart):
    """The checkpoint of one pair. Every method but `put` is one transaction."""

    async def get(self) -> Checkpoint | None:
        """Return the last checkpoint (None: there is none, and every key is to be decided)."""
        rows = await self._db.fetch(
            "SELECT left_epoch, left_seq, right_epoch, right_seq, projects, policy, report FROM checkpoint"
            " WHERE pair = ?",
            (self._pair,),
        )
        if not rows:
            return None
        ((*numbers, projects, policy, report),) = rows
        cursors = self._sides.both(Cursor(*numbers[:2]), Cursor(*numbers[2:]))
        scope = None if projects is None else frozenset(json.loads(projects))
        # The stored report names the sides in one order, and is useless in the other.
        is_mirrored = policy.endswith(_MIRRORED)
        fits = is_mirrored == self._sides.mirrored
        return Checkpoint(cursors, scope, policy.removesuffix(_MIRRORED), report if fits else None)

    async def out_of_sync(self) -> set[Key]:
        """Return the keys that were not in sync at the checkpoint, or that `add` has added since."""
        return {
            key_of(project, label)
            for project, label in await self._db.fetch(
                "SELECT project, label FROM out_of_sync WHERE pair = ?", (self._pair,)
            )
        }

    async def put(self, checkpoint: Checkpoint, out_of_sync: Collection[Key]) -> None:
        """Replace the last checkpoint by *checkpoint*, within the open transaction."""
        (left, right), scope = self._sides.columns(checkpoint.cursors), checkpoint.projects
        policy = checkpoint.policy + (_MIRRORED if self._sides.mirrored else "")
        known = await self.out_of_sync()
        await self._db.run(
            "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(self._pair, *left, *right),
                None if scope is None else json.dumps(sorted(scope)),
                *(policy, checkpoint.report),
            ),
        )
        await self._db.run_many(
            "DELETE FROM out_of_sync WHERE pair = ? AND project = ? AND label = ?",
            [(self._pair, *columns(key)) for key in known.difference(out_of_sync)],
        )
        await add(self._db, self._pair, set(out_of_sync) - known)

    async def rotation(self, side: Side) -> Rotation | None:
        """Return how far the rereading of *side* has come (None: it has not begun)."""
        rows = await self._db.fetch(
            "SELECT project, label, at FROM rotation WHERE pair = ? AND side = ?",
            (self._pair, self._sides.word(side)),
        )
        return next((Rotation(None if p is None else Key(p, label), at) for p, label, at in rows), None)

    @at_once
    async def set_rotation(self, side: Side, rotation: Rotation) -> None:
        """Store how far the rereading of *side* has come."""
        async with self._db.transaction():
            await self._db.run(
                "INSERT OR REPLACE INTO rotation (pair, side, project, label, at) VALUES (?, ?, ?, ?, ?)",
                (self._pair, self._sides.word(side), *(rotation.after or (None, None)), rotation.at),
            )


_MIRRORED = " mirrored"


async def add(db: Connection, pair: int, keys: Collection[Key]) -> None:
    """Make the next cycle decide *keys*, even if no store has changed; within the open transaction."""
    await db.run_many(
        "INSERT OR IGNORE INTO out_of_sync VALUES (?, ?, ?)", [(pair, *columns(key)) for key in keys]
    )


async def reopen(db: Connection, pair: int) -> None:
    """Make the next cycle look again, even if no store has changed; within the open transaction."""
    await db.run("UPDATE checkpoint SET report = NULL WHERE pair = ?", (pair,))
