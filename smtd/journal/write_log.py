"""The log of writes to stores where another program may undo or overwrite them without having seen them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smtd.journal.orientation import PairPart
from smtd.journal.record_codec import pack_any, unpack_any
from smtd.merge.lost_updates import LoggedWrite
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.sqlite import at_once

#: Writes that are kept for each key: a program that read the store before more of them is not recognised.
_KEPT = 50

#: Stands for the digest in the entry of a deletion.
_GONE = b""

_OF_KEY = "pair = ? AND side = ? AND project = ? AND label = ?"


@dataclass(frozen=True, slots=True)
class Landed:
    """A write that another program may undo unseen; see `merge.lost_updates.LoggedWrite`.

    *record* is what was written, if that is not what both sides have in common now. *due* is when to read the
    record again, in seconds since 1970. A write that *begins* a record cannot be undone unseen: it is not
    logged, and earlier writes under its key are dropped.
    """

    key: Key
    side: Side
    before: Digest | None
    after: Digest | None
    rebased: bool = False
    record: Record | None = None
    seen: bool = True
    due: float | None = None
    begins: bool = False


class Reread(NamedTuple):
    """A read of what was written under *key*: it was there (*confirmed*) or not; *due* is the next read.

    None: there is no other read, and the writes of the key are dropped.
    """

    key: Key
    confirmed: bool
    due: float | None


class WriteLog(PairPart):
    """The last writes of one pair. Every method but `append` is one transaction."""

    async def all(self, side: Side) -> dict[Key, list[LoggedWrite]]:
        """Return the last writes under each key of *side*, in order."""
        writes: dict[Key, list[LoggedWrite]] = defaultdict(list)
        for project, label, *values in await self._db.fetch(
            "SELECT project, label, number, before_digest, after_digest, restored, undone, merged, seen,"
            " confirmed, at, due FROM written WHERE pair = ? AND side = ? ORDER BY number",
            (self._pair, self._sides.word(side)),
        ):
            number, before, after, restored, *flags, at, due = values
            undone, rebased, seen, confirmed = map(bool, flags)
            write = LoggedWrite(
                number, before, after or None, restored, undone, rebased, seen, confirmed, at, due
            )
            writes[Key(project, label)].append(write)
        return writes

    async def record(self, side: Side, key: Key) -> Record | None:
        """Return what was last written under *key* of *side*, if that did not become the baseline."""
        found = await self._db.value(
            f"SELECT record FROM written WHERE {_OF_KEY} ORDER BY number DESC LIMIT 1",
            (self._pair, self._sides.word(side), *key),
        )
        return unpack_any(found)

    async def next_due(self, projects: Collection[str] | None) -> float | None:
        """Return when a write to *projects* (None: to any) is to be read again next (None: never).

        In seconds since 1970.
        """
        rows = await self._db.fetch(
            "SELECT project, min(due) FROM written WHERE pair = ? AND due IS NOT NULL GROUP BY project",
            (self._pair,),
        )
        return min((due for project, due in rows if projects is None or project in projects), default=None)

    @at_once
    async def flag(self, side: Side, writes: Iterable[tuple[Key, int]]) -> None:
        """Flag the *writes* to *side*, by key and number, as undone unseen, and clear all other flags."""
        of_side = (self._pair, self._sides.word(side))
        async with self._db.transaction():
            await self._db.run(
                "UPDATE written SET undone = 0 WHERE pair = ? AND side = ? AND undone", of_side
            )
            await self._db.run_many(
                f"UPDATE written SET undone = 1 WHERE {_OF_KEY} AND number = ?",
                [(*of_side, *key, number) for key, number in writes],
            )

    @at_once
    async def note_rereads(self, side: Side, rereads: Iterable[Reread]) -> None:
        """Store what *rereads* on *side* have shown."""
        async with self._db.transaction():
            for key, confirmed, due in rereads:
                of_key = (self._pair, self._sides.word(side), *key)
                if due is None:
                    await self._db.run(f"DELETE FROM written WHERE {_OF_KEY}", of_key)
                else:
                    await self._db.run(
                        f"UPDATE written SET due = ?, confirmed = max(confirmed, ?) WHERE {_OF_KEY}"
                        " AND due IS NOT NULL",
                        (due, confirmed, *of_key),
                    )

    @at_once
    async def set_seen(self, side: Side, arrived: Iterable[tuple[Key, Digest]]) -> None:
        """Store that writes which could not be read back at first have *arrived* after all."""
        async with self._db.transaction():
            for key, digest in arrived:
                of_key = (self._pair, self._sides.word(side), *key)
                await self._db.run(f"UPDATE written SET seen = 1 WHERE {_OF_KEY}", of_key)
                await self._db.run(
                    "UPDATE history SET landed = 1 WHERE id = (SELECT max(h.id) FROM history h"
                    " JOIN cycle c ON c.id = h.cycle WHERE c.pair = ? AND h.side = ? AND h.project = ?"
                    " AND h.label = ? AND h.after = ?)",
                    (*of_key, digest),
                )

    async def append(self, landed: Sequence[Landed]) -> None:
        """Log writes as one batch, within the open transaction; at most `_KEPT` of each key are kept."""
        if not landed:
            return
        begun = [(self._pair, self._sides.word(write.side), *write.key) for write in landed if write.begins]
        # Keep writes that have not shown yet: they may still arrive.
        await self._db.run_many(f"DELETE FROM written WHERE {_OF_KEY} AND seen", begun)
        landed = [write for write in landed if not write.begins]
        number = 1 + await self._db.value("SELECT coalesce(max(number), 0) FROM written")
        keys = [(self._pair, self._sides.word(write.side), *write.key) for write in landed]
        now = time.time()
        await self._db.run_many(f"UPDATE written SET due = NULL WHERE {_OF_KEY} AND due IS NOT NULL", keys)
        # The last write of the key, if it wrote the same.
        last = (
            f"{_OF_KEY} AND after_digest = ? AND number = (SELECT max(number) FROM written WHERE {_OF_KEY})"
        )
        await self._db.run_many(
            "INSERT INTO written"
            " (pair, side, project, label, number, before_digest, after_digest, record, seen, at, due,"
            " merged, restored)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
            f" coalesce((SELECT max(merged, ?) FROM written WHERE {last}), ?),"
            f" coalesce((SELECT restored + 1 FROM written WHERE {last} AND seen), 0))",
            [
                (
                    *(*key, number, write.before, write.after or _GONE, pack_any(write.record)),
                    *(write.seen, now, write.due),
                    *(write.rebased, *key, write.after or _GONE, *key, write.rebased),
                    *(*key, write.after or _GONE, *key),
                )
                for key, write in zip(keys, landed, strict=True)
            ],
        )
        await self._db.run_many(f"UPDATE written SET undone = 0 WHERE {_OF_KEY} AND undone", keys)
        await self._db.run_many(
            f"DELETE FROM written WHERE {_OF_KEY} AND number NOT IN"
            f" (SELECT number FROM written WHERE {_OF_KEY} ORDER BY number DESC LIMIT {_KEPT})",
            [(*key, *key) for key in keys],
        )
