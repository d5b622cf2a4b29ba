"""The entries of an index in the journal's tables: how keys are written, found and counted."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from smtd.batches import batches
from smtd.filestat import SETTLE
from smtd.records.record import Key
from smtd.sqlite import Connection
from smtd.stores.index import ABSENT, Busy, Entry, State

#: Keys in one query: SQLite accepts 999 values.
ASKED = 400
#: A save of Sumatra is several commits (measured: up to 55 ms apart). A record that has not changed for STILL
#: seconds is complete; one that keeps changing counts as complete after LONGEST seconds.
STILL, LONGEST = 2 * SETTLE, 20 * SETTLE
#: A record does not count as changing all the time across a gap of this many seconds between two changes.
BURST = 60.0
#: For more keys than this, a query for each takes longer than a query for all entries.
MANY = 5000


async def clear(db: Connection, store: int) -> None:
    """Delete all entries of *store*, within the open transaction; a new epoch makes old cursors void."""
    for table in ("entry", "held", "head", "extra_row", "fingerprint"):
        await db.run(f"DELETE FROM {table} WHERE store = ?", (store,))
    await db.run("UPDATE store SET epoch = ?, blocks = NULL WHERE id = ?", (new_epoch(), store))


def new_epoch() -> int:
    """Return a number that no index had before, in this journal or in one that was lost."""
    return secrets.randbits(62)


async def put(
    db: Connection, store: int, found: Mapping[Key, Entry], seen: float | None = None
) -> tuple[int, int]:
    """Store the entries *found* in place of the known ones of their keys, within the open transaction.

    Entries that differ get the next number of the sequence. If a program was writing during the look, the
    records may be half saved, and *seen* is when the look ended (seconds since 1970; None: none was writing).
    Returns the numbers before and after.
    """
    before = int(await db.value("SELECT seq FROM store WHERE id = ?", (store,)))
    known = await entries(db, store, found)
    changed = {key: each for key, each in found.items() if known.get(key, ABSENT) != each}
    if not changed:
        return before, before
    await db.run_many(
        "INSERT INTO entry (store, project, label, state, digest, problem, seq, changed, changing)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state,"
        " digest = excluded.digest, problem = excluded.problem, seq = excluded.seq,"
        f" changed = excluded.changed, changing = CASE WHEN changed > excluded.changed - {BURST}"
        " THEN min(changing, excluded.changing) ELSE excluded.changing END",
        [
            (store, *columns(key), int(each.state), each.digest, column(each.problem), before + 1, seen, seen)
            for key, each in changed.items()
        ],
    )
    await _count(db, store, {key: (known.get(key, ABSENT), each) for key, each in changed.items()})
    await db.run("UPDATE store SET seq = ? WHERE id = ?", (before + 1, store))
    return before, before + 1


async def unsettled(db: Connection, store: int) -> set[Key]:
    """Return the keys of *store* whose records may be half saved."""
    query = f"SELECT project, label FROM entry INDEXED BY entry_changed WHERE {_CHANGED}"
    return {key_of(*row) for row in await db.fetch(query, (store,))}


async def settle(db: Connection, store: int, busy: Busy | None) -> None:
    """Settle the records of *store* that a look found unchanged, within the open transaction.

    *busy* is when the look took place (None: no other program was writing, so all settle). Records that keep
    changing settle, too, in the end. Deletions settle together, once there is no new one, because the
    deletion guard must see all of them. Settled records get the next number of the sequence, so that every
    pair decides them, whichever pair has looked.
    """
    still, longest, calm = float("inf"), float("inf"), True
    if busy is not None:
        still, longest = busy.began - STILL, busy.began - LONGEST
        # The clock was set back: records with a later time may have waited for any time, so they begin again.
        later = f"UPDATE entry SET changed = ?, changing = min(changing, ?) WHERE {_CHANGED} AND changed > ?"
        await db.run(later, (busy.ended, busy.ended, store, busy.ended))
        absent = f"SELECT max(changed) FROM entry INDEXED BY entry_changed WHERE {_CHANGED} AND state = 0"
        calm = (await db.value(absent, (store,)) or 0.0) <= still
    which = f"{_CHANGED} AND (changed <= ? AND (state > 0 OR ?) OR changing <= ?)"
    given = (store, still, calm, longest)
    if not await db.value(f"SELECT count(*) FROM entry INDEXED BY entry_changed WHERE {which}", given):
        return
    await db.run("UPDATE store SET seq = seq + 1 WHERE id = ?", (store,))
    seq = await db.value("SELECT seq FROM store WHERE id = ?", (store,))
    await db.run(f"UPDATE entry SET changed = NULL, changing = NULL, seq = ? WHERE {which}", (seq, *given))


_CHANGED = "store = ? AND changed IS NOT NULL"


async def _count(db: Connection, store: int, changed: Mapping[Key, tuple[Entry, Entry]]) -> None:
    """Update the counts of each project for the keys *changed*, given their entries before and now."""
    grown: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, (before, now) in changed.items():
        for each, sign in ((before, -1), (now, 1)):
            if each.state is not State.ABSENT:
                grown[key.project][0 if each.is_readable else 1] += sign
    await db.run_many(
        "INSERT INTO held (store, project, readable, unreadable) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET readable = readable + excluded.readable,"
        " unreadable = unreadable + excluded.unreadable",
        [(store, column(project), *counts) for project, counts in grown.items()],
    )


async def entries(db: Connection, store: int, keys: Collection[Key]) -> dict[Key, Entry]:
    """Return the entries of *store* for *keys*; keys without an entry are left out."""
    if len(keys) > MANY:
        rows = await db.fetch(f"{_SELECT} WHERE store = ?", (store,))
        asked = keys if isinstance(keys, (set, frozenset, dict)) else set(keys)
        return {key: each for key, each in map(_read, rows) if key in asked}
    found: dict[Key, Entry] = {}
    for chunk in batches(list(keys), ASKED):
        begin, given = wanted(chunk)
        query = (
            f"{begin} SELECT e.project, e.label, e.state, e.digest, e.problem"
            " FROM wanted w CROSS JOIN entry e"
            " ON e.store = ? AND e.project = w.project AND e.label = w.label"
        )
        found.update(map(_read, await db.fetch(query, (*given, store))))
    return found


def wanted(keys: Sequence[Key]) -> tuple[str, list[str | bytes]]:
    """Return the beginning of a query about *keys*, and its first parameters.

    SQLite uses the whole primary key only in a join: with `IN` it goes through all entries of a store.
    """
    values = ", ".join(["(?, ?)"] * len(keys))
    return f"WITH wanted (project, label) AS (VALUES {values})", [*chain.from_iterable(map(columns, keys))]


async def present(db: Connection, store: int, projects: Collection[str] | None) -> dict[Key, Entry]:
    """Return the entries of *projects* in *store* (None: of all projects), except those of absent records."""
    rows = await db.fetch(f"{_SELECT} WHERE store = ? AND state > 0", (store,))
    return {key: each for key, each in map(_read, rows) if projects is None or key.project in projects}


_SELECT = "SELECT project, label, state, digest, problem FROM entry"


def _read(row: Sequence[object]) -> tuple[Key, Entry]:
    project, label, state, digest, problem = row
    assert isinstance(state, int)
    assert digest is None or isinstance(digest, bytes)
    return key_of(project, label), Entry(State(state), digest, text(problem))


def key_of(project: object, label: object) -> Key:
    """Return the key for the values of its two columns in an index."""
    return Key(text(project), text(label))


def columns(key: Key) -> tuple[str | bytes, str | bytes]:
    """Return the values of the two columns for *key* in an index."""
    return column(key.project), column(key.label)


def column(name: str) -> str | bytes:
    """Return the value of a column for *name*: as bytes if the name is not valid Unicode."""
    if name.isascii():
        return name
    encoded = name.encode("utf-8", "surrogatepass")
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return encoded
    return name


def text(column: object) -> str:
    """Return the name for the value of its column."""
    if isinstance(column, bytes):
        return column.decode("utf-8", "surrogatepass")
    assert isinstance(column, str)
    return column


async def clear_all(db: Connection) -> None:
    """Delete the entries of all stores, within the open transaction."""
    for (number,) in await db.fetch("SELECT id FROM store"):
        await clear(db, number)
