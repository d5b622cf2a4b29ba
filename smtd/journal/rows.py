"""Which rows of a store have which keys, and the fingerprints of all rows when they were read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from smtd.batches import batches
from smtd.journal.entries import ASKED, columns, key_of, wanted
from smtd.records.record import Key
from smtd.sqlite import Connection, at_once
from smtd.stores.index import Block, Fingerprints

#: Where the numbers of the rows of a key are stored: most keys have one row.
_ROWS = (("entry", "row"), ("extra_row", "id"))


class IndexedRows:
    """The rows of the store with the *identity*, as the index has them; see `stores.index.RowIndex`."""

    def __init__(self, db: Connection, identity: str) -> None:
        self.identity = identity
        self._db = db
        self._number: int | None = None

    async def _id(self) -> int:
        if self._number is None:
            query = "SELECT id FROM store WHERE location = ?"
            self._number = await self._db.value(query, (self.identity,))
        return -1 if self._number is None else self._number  # no store has this number

    @at_once
    async def fingerprints(self) -> Fingerprints | None:
        """Return the fingerprints of all rows of the store (None: not known)."""
        said = await self._db.value("SELECT blocks FROM store WHERE id = ?", (await self._id(),))
        if said is None:
            return None
        sizes, average, scheme = json.loads(said)
        blocks: list[dict[int, Block]] = [{} for _ in sizes]
        for place, number, state, owners in await self._db.fetch(
            "SELECT place, block, mark, owners FROM fingerprint WHERE store = ?", (await self._id(),)
        ):
            blocks[place][number] = Block(state, owners)
        return Fingerprints(sizes, average, blocks, scheme)

    @at_once
    async def rows_of(self, keys: Collection[Key]) -> dict[Key, list[int]]:
        """Return the numbers of the rows that had *keys*."""
        found: dict[Key, list[int]] = defaultdict(list)
        for chunk in batches(list(keys), ASKED):
            begin, given = wanted(chunk)
            for table, column in _ROWS:
                query = (
                    f"{begin} SELECT e.project, e.label, e.{column} FROM wanted w CROSS JOIN {table} e"
                    " ON e.store = ? AND e.project = w.project AND e.label = w.label"
                )
                for project, label, row in await self._db.fetch(query, (*given, await self._id())):
                    if row is not None:
                        found[key_of(project, label)].append(row)
        return found

    @at_once
    async def highest_and_rows_of(self, keys: Collection[Key]) -> tuple[int | None, dict[Key, list[int]]]:
        """Return `highest_row` and `rows_of` of one moment."""
        async with self._db.reading():
            return await self.highest_row(), await self.rows_of(keys)

    @at_once
    async def keys_of(self, rows: Collection[int]) -> set[Key]:
        """Return the keys that *rows* had."""
        found: set[Key] = set()
        for chunk in batches(list(rows), ASKED):
            placeholders = ", ".join("?" * len(chunk))
            for table, column in _ROWS:
                query = f"SELECT project, label FROM {table} WHERE store = ? AND {column} IN ({placeholders})"
                found.update(key_of(*row) for row in await self._db.fetch(query, (await self._id(), *chunk)))
        return found

    @at_once
    async def highest_row(self) -> int | None:
        """Return the highest row number (None: there is no row)."""
        tops = [
            await self._db.value(
                f"SELECT max({column}) FROM {table} WHERE store = ? AND {column} IS NOT NULL",
                (await self._id(),),
            )
            for table, column in _ROWS
        ]
        return max((int(top) for top in tops if top is not None), default=None)

    async def unlisted(self) -> set[Key]:
        """Return the keys that smtd wrote since the last look at the rows."""
        query = "SELECT project, label FROM entry INDEXED BY entry_unlisted WHERE store = ? AND unlisted"
        return {key_of(*row) for row in await self._db.fetch(query, (await self._id(),))}

    @at_once
    async def needs_fingerprints(self, most: int) -> bool:
        """Say whether more than *most* records have rows whose fingerprints are not known."""
        store = await self._id()
        if await self._db.value("SELECT blocks FROM store WHERE id = ?", (store,)) is None:
            query = "SELECT count(*) FROM entry WHERE store = ? AND state > 0"
        else:
            query = "SELECT count(*) FROM entry INDEXED BY entry_unlisted WHERE store = ? AND unlisted"
        return int(await self._db.value(query, (store,))) > most

    async def set_rows(self, rows: Mapping[Key, Sequence[int]]) -> None:
        """Store the row numbers *rows* of each key, within the open transaction."""
        store = await self._id()
        one = [(numbers[0] if numbers else None, store, *columns(key)) for key, numbers in rows.items()]
        await self._db.run_many(
            "UPDATE entry SET row = ?1 WHERE store = ?2 AND project = ?3 AND label = ?4 AND row IS NOT ?1",
            one,
        )
        await self._db.run_many(
            "DELETE FROM extra_row WHERE store = ? AND project = ? AND label = ?",
            [(store, *columns(key)) for key in rows] if await self._has_extra_rows() else [],
        )
        await self._db.run_many(
            "INSERT OR REPLACE INTO extra_row (store, id, project, label) VALUES (?, ?, ?, ?)",
            [(store, row, *columns(key)) for key, numbers in rows.items() for row in numbers[1:]],
        )

    async def _has_extra_rows(self) -> bool:
        query = "SELECT 1 FROM extra_row WHERE store = ? LIMIT 1"
        return await self._db.value(query, (await self._id(),)) is not None

    async def set_fingerprints(self, found: Fingerprints | None) -> None:
        """Store the fingerprints of all rows (None: not known), within the open transaction."""
        store = await self._id()
        await self._db.run("DELETE FROM fingerprint WHERE store = ?", (store,))
        said = None if found is None else json.dumps([list(found.sizes), found.average, found.scheme])
        await self._db.run("UPDATE store SET blocks = ? WHERE id = ?", (said, store))
        if found is not None:
            await self.set_blocks(
                {
                    (place, at): each
                    for place, blocks in enumerate(found.blocks)
                    for at, each in blocks.items()
                }
            )

    async def set_blocks(self, blocks: Mapping[tuple[int, int], Block | None]) -> None:
        """Store the fingerprints of some *blocks* (None: the block is gone), within the open transaction."""
        store = await self._id()
        await self._db.run_many(
            "DELETE FROM fingerprint WHERE store = ? AND place = ? AND block = ?",
            [(store, *at) for at, each in blocks.items() if each is None],
        )
        await self._db.run_many(
            "INSERT OR REPLACE INTO fingerprint (store, place, block, mark, owners) VALUES (?, ?, ?, ?, ?)",
            [(store, *at, *each) for at, each in blocks.items() if each is not None],
        )

    async def unlist(self, keys: Collection[Key]) -> None:
        """Make the next look read *keys*, if it compares blocks; within the open transaction."""
        store = await self._id()
        if await self._db.value("SELECT blocks FROM store WHERE id = ?", (store,)) is None:
            return
        await self._db.run_many(
            "UPDATE entry SET unlisted = 1 WHERE store = ? AND project = ? AND label = ?",
            [(store, *columns(key)) for key in keys],
        )
