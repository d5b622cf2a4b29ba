"""Look at one side of a pair, and bring the index of its store up to date.

Two pairs that share a store look at it one after the other. The second one uses what the first one found, if
the store has not changed since.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

import anyio

from smtd.engine import costly_reads
from smtd.engine.pair import Pair
from smtd.journal.checkpoint import Rotation
from smtd.journal.entries import LONGEST, STILL
from smtd.journal.index import Cursor, IndexState, StoreIndex
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores import index as known
from smtd.stores.base import CostlyReadStore, ResumedStore, Scan, Store, Token
from smtd.stores.index import ABSENT, Entry, Recheck, TrackedStore


class Look(NamedTuple):
    """The result of a look at one side; the entries of its index are right up to *cursor*.

    Where each read costs a request: *believed* were not read, *reread* were, and are to be decided whether
    they changed or not.
    """

    cursor: Cursor
    believed: Collection[Key] = ()
    reread: Collection[Key] = ()
    rotation: Rotation | None = None


class _Followed(NamedTuple):
    """The number of the last scan of a store, and the cursor of its index with the findings of that scan."""

    scan: int
    cursor: Cursor


_followed: WeakKeyDictionary[Store, _Followed] = WeakKeyDictionary()
_turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()


async def look(
    pair: Pair, side: Side, recheck: Collection[Key], soon: Collection[Key], recheck_all: bool
) -> Look:
    """Look at *side* in the way that its store allows, and update its index.

    The keys of *recheck* are read in any case, those of *soon* if each read costs a request, and all keys if
    *recheck_all*. Raises StoreError if the store cannot be read whole.
    """
    store, index, turn = pair.stores[side], pair.journal.indexes[side], turn_of(pair.journal.indexes[side])
    if store.capabilities.tracks and turn.locked() and not (recheck or recheck_all):
        async with turn:
            pass  # another pair is looking, and may find all that this look would
        if (known_look := await _as_known(pair, side)) is not None:
            return known_look
    async with turn:
        if store.capabilities.costly_reads:
            return await _look_at_server(pair, side, {*recheck, *soon}, recheck_all)
        if store.capabilities.tracks:
            return await _track(pair, side, recheck, recheck_all=recheck_all)
        since, head, _ = await index.state(pair.policy.projects)
        if head is not None and not (recheck or recheck_all) and await _is_as(store, head):
            return Look(since)
        before = _followed.pop(store, None)
        scan = await store.scan(pair.policy.projects)
        keys = await _changed(index, scan, before)
        found = known.entries(scan) if keys is None else {key: known.entry(scan, key) for key in keys}
        head = await store.token()
        cursor = await index.update(found, pair.policy.projects, head, whole=keys is None, since=since)
    if cursor is not None:
        _followed[store] = _Followed(scan.number, cursor)
    return Look(cursor or since)


async def _as_known(pair: Pair, side: Side) -> Look | None:
    """Return the result of a look at *side* from its index if that is up to date (None: it may not be).

    The store must track its records. Other pairs may look at the same time.
    """
    store, index = cast(TrackedStore, pair.stores[side]), pair.journal.indexes[side]
    state = await index.state(None)
    if state.unsettled_since is not None or state.head is None or not await _is_as(store, state.head):
        return None
    await store.follow(index)
    return Look(state.cursor)


async def _track(pair: Pair, side: Side, recheck: Collection[Key], *, recheck_all: bool) -> Look:
    """Look at a store that tracks changes by its rows: at all projects, also those that are not synced."""
    store, index = cast(TrackedStore, pair.stores[side]), pair.journal.indexes[side]
    enough: float | None = None
    again = False
    while True:
        (since, head, unsettled_since), moment = await _settled(index, again=again), time.time()
        began = anyio.current_time()
        if head is None or recheck or recheck_all or not await _is_as(store, head):
            partly = not pair.policy.wait_to_settle and unsettled_since is None
            look = await store.track(index, Recheck(recheck, recheck_all, partly))
            if look.partial and await pair.is_another(side):
                look = await store.track(index)  # what another file lacks is not deleted
            cursor = await index.update_rows(look, await store.token(), since=since) or since
            _followed[store] = _Followed(0, cursor)
        else:
            cursor = since if unsettled_since is None else await index.settle(moment)
        # A look that begins this long after the first one takes even records that keep changing for whole.
        enough = enough or anyio.current_time() + LONGEST
        if began >= enough or not (pair.policy.wait_to_settle and await index.unsettled()):
            break
        again, recheck, recheck_all = True, (), False
    await store.follow(index)
    return Look(cursor)


async def _settled(index: StoreIndex, *, again: bool) -> IndexState:
    """Wait until a look can tell whether the first unsettled record is still; return the state of *index*.

    *again*: a look has just left the record unsettled. If it was still for long enough even so, it waits for
    other records, as a deletion does; then wait for another `STILL` seconds.
    """
    state = await index.state(None)
    if state.unsettled_since is None:
        return state
    wait = min(state.unsettled_since + STILL - time.time(), STILL)
    await anyio.sleep(wait if wait > 0 else STILL * again)
    return await index.state(None)


async def _changed(index: StoreIndex, scan: Scan, before: _Followed | None) -> Collection[Key] | None:
    """Return the keys whose entries may differ from *scan* (None: any may).

    These are the keys that changed in the store since the scan *before*, and in the index since that scan.
    """
    if before is None or scan.changes is None or scan.changes.since != before.scan:
        return None
    if (await index.cursor()).epoch != before.cursor.epoch:
        return None
    return {*scan.changes.keys, *await index.changed_since(before.cursor, None)}


async def _is_as(store: Store, head: Token) -> bool:
    """Say whether *store* still has the state *head*. A store that can resume continues from *head*.

    A shelf that is rewritten whole would have to be read again for that. If this process has scanned it, it
    continues from its own scan instead.
    """
    if store.capabilities.resumes and (store.capabilities.tracks or store not in _followed):
        return await cast(ResumedStore, store).resume(head)
    return await store.unchanged_since(head)


async def _look_at_server(pair: Pair, side: Side, unsure: Collection[Key], recheck_all: bool) -> Look:
    """List the records of a server, and read those that are new, *unsure*, or due for verification."""
    store, index, projects = pair.stores[side], pair.journal.indexes[side], pair.policy.projects
    since = await index.cursor()
    entries = await index.present(projects)
    answer = await costly_reads.trusted(pair, side, entries, unsure)
    trusted = {} if recheck_all else answer.entries
    digests = {key: each.digest for key, each in trusted.items() if each.digest is not None}
    scan = await _scan_server(
        cast(CostlyReadStore, store), projects, digests, {key.project for key in entries}
    )
    believed = trusted.keys() & scan.digests.keys()
    found: dict[Key, Entry] = known.entries(scan)
    found.update((key, trusted[key]) for key in believed)
    changed = {key: each for key, each in found.items() if entries.get(key) != each}
    gone = dict.fromkeys(entries.keys() - found.keys(), ABSENT)
    cursor = await index.update({**changed, **gone}, projects, None, whole=False, since=since)
    read = (await index.newest(projects)).keys() - believed if cursor is not None else set()
    await index.note_reads(read, answer.moment, answer.reread_at)
    # Keys that smtd wrote lately are decided whether the server lists them or not.
    return Look(cursor or since, believed, (entries.keys() - believed).union(answer.again), answer.rotation)


async def _scan_server(
    store: CostlyReadStore,
    projects: Collection[str] | None,
    digests: Mapping[Key, Digest],
    seen: Collection[str],
) -> Scan:
    """Return a scan of *store* that trusts *digests*; *seen* are the projects of the records known so far.

    A project that is no longer listed may only be hidden. Asked for it by name, the server says so.
    """
    scan = await store.scan(projects, known=digests)
    gone = {*seen} - {key.project for key in scan.digests.keys() | scan.unreadable.keys()}
    if projects is not None or not gone:
        return scan
    other = await store.scan(gone, known={})
    return replace(
        scan,
        digests={**scan.digests, **other.digests},
        unfinished={*scan.unfinished, *other.unfinished},
        unreadable={**scan.unreadable, **other.unreadable},
    )


def turn_of(index: StoreIndex) -> anyio.Lock:
    """Return the lock that lets the tasks of this process look at a store one after the other."""
    return _turns.setdefault(index.identity, anyio.Lock())


def scope(pair: Pair, side: Side) -> Collection[str] | None:
    """Return the projects that a look at *side* covers (None: all)."""
    return None if pair.stores[side].capabilities.tracks else pair.policy.projects
