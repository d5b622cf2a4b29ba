"""What becomes true of one pair in one step, noted whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from smtd.journal import checkpoint
from smtd.journal.checkpoint import Checkpoint, Checkpoints
from smtd.journal.decisions import Choice
from smtd.journal.index import Cursor, StoreIndex
from smtd.journal.orientation import Orientation
from smtd.journal.record_codec import pack
from smtd.journal.values import Agreement, Landed
from smtd.journal.write_log import WriteLog
from smtd.merge.sides import Both, Side
from smtd.records.record import Key
from smtd.sqlite import Connection
from smtd.stores.base import Token
from smtd.stores.index import Entry


class Transaction:
    """The notes of one step; `PairJournal.transaction` begins and commits it.

    *cycle* is the one that is running (None: nobody began one).
    """

    def __init__(
        self,
        db: Connection,
        pair: int,
        sides: Orientation,
        cycle: int | None,
        indexes: Both[StoreIndex],
    ) -> None:
        self._db = db
        self._pair = pair
        self._sides = sides
        self._cycle = cycle
        self._indexes = indexes

    async def set_baselines(self, agreements: Sequence[Agreement]) -> None:
        """Both sides agree on the records of these keys."""
        await self._db.run_many(
            "INSERT OR REPLACE INTO agreed VALUES (?, ?, ?, ?, ?, ?)",
            [(self._pair, *each.key, *self._sides.columns(each.digests), self._cycle) for each in agreements],
        )
        await self._db.run_many(
            "INSERT OR REPLACE INTO ancestor VALUES (?, ?, ?, ?)",
            [(self._pair, *each.key, pack(each.record, each.encoded)) for each in agreements],
        )

    async def drop_baselines(self, keys: Iterable[Key]) -> None:
        """The sides have nothing in common under these keys any more, nor is a write there remembered.

        But a deletion that may still be on its way is.
        """
        gone = [(self._pair, *key) for key in keys]
        of_key = "pair = ? AND project = ? AND label = ?"
        for table, which in (
            ("agreed", ""),
            ("ancestor", ""),
            ("written", " AND (seen OR after_digest <> x'')"),
        ):
            await self._db.run_many(f"DELETE FROM {table} WHERE {of_key}{which}", gone)

    async def note(self, side: Side, found: Mapping[Key, Entry]) -> None:
        """This is what *side* holds now."""
        await self._indexes[side].note(found)

    async def set_head(self, side: Side, projects: Collection[str] | None, head: Token, at: Cursor) -> None:
        """So looks *side* when it holds what its entries of *projects* (None: of all) say up to *at*."""
        await self._indexes[side].put_head(projects, head, at)

    async def save(self, checkpoint: Checkpoint, out_of_sync: Collection[Key]) -> None:
        """So far has the pair come, but for the keys that are *out of sync*."""
        await Checkpoints(self._db, self._pair, self._sides).put(checkpoint, out_of_sync)

    async def reopen(self, keys: Collection[Key]) -> None:
        """The next cycle is to decide these keys, whatever the stores show."""
        await checkpoint.add(self._db, self._pair, keys)
        await checkpoint.reopen(self._db, self._pair)

    async def log_writes(self, landed: Sequence[Landed]) -> None:
        """These writes may get lost later; they are one batch."""
        await WriteLog(self._db, self._pair, self._sides).append(landed)

    async def finish(self, keys: Iterable[Key]) -> None:
        """The intents of these keys are over."""
        await self._db.run_many(
            "DELETE FROM intent WHERE pair = ? AND project = ? AND label = ?",
            [(self._pair, *key) for key in keys],
        )

    async def mark_landed(self, entries: Iterable[int]) -> None:
        """The writes of these entries of the history have arrived."""
        await self._db.run_many("UPDATE history SET landed = 1 WHERE id = ?", [(entry,) for entry in entries])

    async def end_decisions(self, keys: Iterable[Key]) -> None:
        """What a person decided of these keys is done.

        Should the sides ever hold the same again, nobody has decided of that.
        """
        await self._db.run_many(
            "DELETE FROM decision WHERE pair = ? AND project = ? AND label = ? AND choice != ?",
            [(self._pair, *key, Choice.REST.value) for key in keys],
        )

    async def set_files(self, files: Both[str]) -> None:
        """That is what tells the files of the stores by now."""
        row = self._sides.columns(files)
        rows = await self._db.fetch("SELECT left_file, right_file FROM files WHERE pair = ?", (self._pair,))
        if rows != [row]:
            await self._db.run("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (self._pair, *row))
