"""How far a pair has come: the cursors of its sides, and the keys that are not in sync."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from smtd.journal.entries import columns, key_of
from smtd.journal.index import Cursor
from smtd.journal.orientation import Orientation
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.sqlite import Connection


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of a cycle: of the changes up to *cursors*, in *projects* (None: in all), none waits.

    What waits is listed beside it (`Checkpoints.out_of_sync`). *report* is that cycle's own, under the policy
    with the fingerprint *policy*; None: another cycle began since, or one would report something else.
    """

    cursors: Both[Cursor]
    projects: frozenset[str] | None
    policy: str = ""
    report: bytes | None = None

    def covers(self, projects: frozenset[str] | None) -> bool:
        """Say whether it is of all *projects* (None: of all there are)."""
        if self.projects is None:
            return True
        return projects is not None and projects <= self.projects


class Checkpoints:
    """The checkpoint of one pair; *sides* names its sides. Every method but `put` is one transaction."""

    def __init__(self, db: Connection, pair: int, sides: Orientation) -> None:
        self._db = db
        self._pair = pair
        self._sides = sides

    async def get(self) -> Checkpoint | None:
        """Return the last checkpoint; None: there is none, and every key is to be decided."""
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
        # A report names the sides in one order only.
        is_mirrored = policy.endswith(_MIRRORED)
        fits = is_mirrored == self._sides.mirrored
        return Checkpoint(cursors, scope, policy.removesuffix(_MIRRORED), report if fits else None)

    async def out_of_sync(self) -> set[Key]:
        """Return the keys that were not in sync at the checkpoint, or were touched without a cycle since."""
        return {
            key_of(project, label)
            for project, label in await self._db.fetch(
                "SELECT project, label FROM out_of_sync WHERE pair = ?", (self._pair,)
            )
        }

    async def put(self, checkpoint: Checkpoint, out_of_sync: Collection[Key]) -> None:
        """Put *checkpoint* in place of the last one, in the transaction that is open."""
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


_MIRRORED = " mirrored"


async def add(db: Connection, pair: int, keys: Collection[Key]) -> None:
    """Have the next cycle decide *keys*, whatever the stores show; in the transaction that is open."""
    await db.run_many(
        "INSERT OR IGNORE INTO out_of_sync VALUES (?, ?, ?)", [(pair, *columns(key)) for key in keys]
    )


async def reopen(db: Connection, pair: int) -> None:
    """Have the next cycle look again, though the stores may be unchanged; in the transaction that is open."""
    await db.run("UPDATE checkpoint SET report = NULL WHERE pair = ?", (pair,))
