"""Look at both stores, bring their indexes up to date, and find the keys to decide.

The index alone has what a store holds; cycles remember nothing else. So a new process decides as a running
one does, and pairs that share a store share what was seen there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import NamedTuple, cast

from smtd.engine.look import Look, look, scope, turn_of
from smtd.engine.pair import Pair
from smtd.gather import gather
from smtd.journal.checkpoint import Checkpoint, Rotation
from smtd.journal.entries import MANY
from smtd.journal.index import Cursor, IndexState, RecordCount
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key
from smtd.stores import index as known
from smtd.stores.base import Scan, Store, Token
from smtd.stores.index import TrackedStore

#: If at most this many keys are not in sync, each look reads them again where the store reports no changes.
FEW = 100
#: If smtd wrote more records than this, learning now what their rows look like takes less time than reading
#: them all again after the next write of another program.
MANY_WRITTEN = 500
#: The checkpoint before the first cycle: all keys are to be decided.
NOWHERE = Checkpoint(Both(Cursor(0, 0), Cursor(0, 0)), frozenset())


class Observed(NamedTuple):
    """What both sides hold under the *keys* to decide (None: all keys), up to the changes *cursors*.

    All other keys are in sync. *record_counts*: how many records each side has, by project. *rotations*: how
    far the rereading of each side has come with this look. *unsettled* are keys whose records may be half
    saved; they must not be decided yet.
    """

    keys: Collection[Key] | None
    scans: Both[Scan]
    cursors: Both[Cursor]
    record_counts: Both[Mapping[str, RecordCount]]
    rotations: Both[Rotation | None]
    unsettled: Collection[Key]


async def observe(
    pair: Pair, checkpoint: Checkpoint, recheck: Collection[Key] = (), *, recheck_all: bool = False
) -> Observed:
    """Look at both sides, and return what has to be decided since *checkpoint*.

    The keys of *recheck* are read and decided in any case, and all keys with *recheck_all*. Raises
    StoreError if a store cannot be read whole.
    """
    waiting = await pair.journal.checkpoints.out_of_sync()
    soon = waiting if len(waiting) <= FEW else set()
    left, right = await gather([partial(look, pair, side, recheck, soon, recheck_all) for side in SIDES])
    again = waiting.union(recheck, left.reread, right.reread)
    # Read both indexes at one moment: they then have the findings of another look whole, or not at all.
    return await pair.journal.at_one_moment(
        partial(_read_indexes, pair, checkpoint, Both(left, right), again, recheck_all=recheck_all)
    )


async def _read_indexes(
    pair: Pair, checkpoint: Checkpoint, looks: Both[Look], again: Collection[Key], *, recheck_all: bool
) -> Observed:
    """Return what the indexes hold after *looks*; await nothing but the journal."""
    projects, cursors = pair.policy.projects, looks.map(lambda look: look.cursor)
    keys = None if recheck_all else await _keys(pair, checkpoint, cursors, again)
    scans, record_counts, unsettled = [], [], set[Key]()
    for side in SIDES:
        index = pair.journal.indexes[side]
        found = await index.present(projects) if keys is None else await index.entries(keys)
        unsettled |= await index.unsettled()
        scans.append(known.scan(found, found.keys() & set(looks[side].believed)))
        record_counts.append(await index.record_counts(projects))
    rotations = looks.map(lambda look: look.rotation)
    unsettled = {key for key in unsettled if pair.policy.covers(key)}
    return Observed(keys, Both(*scans), cursors, Both(*record_counts), rotations, unsettled)


class Position(NamedTuple):
    """The checkpoint of a pair (None: it has none) and the states of its indexes, all of one moment.

    *unsettled* are keys of the pair's projects whose records may be half saved.
    """

    checkpoint: Checkpoint | None
    states: Both[IndexState]
    unsettled: Collection[Key]

    @property
    def has_decided(self) -> bool:
        """Whether the last cycle dealt with all that the indexes have now, and every record has settled."""
        known = self.checkpoint
        return (
            known is not None
            and all(self.states[side].cursor == known.cursors[side] for side in SIDES)
            and not self.unsettled
        )


async def position(pair: Pair) -> Position:
    """Return how far *pair* has come. Call it before asking the stores: another pair may look in between."""
    return await pair.journal.at_one_moment(partial(_position, pair))


async def _position(pair: Pair) -> Position:
    states, unsettled = await _states(pair), set[Key]()
    for side in SIDES:
        if states[side].unsettled_since is not None:
            unsettled |= {
                key for key in await pair.journal.indexes[side].unsettled() if pair.policy.covers(key)
            }
    return Position(await pair.journal.checkpoints.get(), states, unsettled)


async def _states(pair: Pair) -> Both[IndexState]:
    return Both(*[await pair.journal.indexes[side].state(scope(pair, side)) for side in SIDES])


async def is_followed(pair: Pair, side: Side, position: Position) -> bool:
    """Say whether *side* is surely unchanged since the checkpoint of *position*."""
    state, checkpoint = position.states[side], position.checkpoint
    return (
        checkpoint is not None
        and state.cursor == checkpoint.cursors[side]
        and state.head is not None
        and await pair.stores[side].unchanged_since(state.head)
    )


async def heads(pair: Pair, cursors: Both[Cursor]) -> dict[Side, Token]:
    """Return new heads for the sides that the writes of a cycle left without one.

    A side is left out if another program has written to it meanwhile. The heads fit only indexes that are
    still at *cursors*: they have the writes of this cycle, and nothing else that came after its look.
    """
    found: dict[Side, Token] = {}
    for side, needs_fingerprints in (
        await pair.journal.at_one_moment(partial(_headless, pair, cursors))
    ).items():
        store, index = pair.stores[side], pair.journal.indexes[side]
        async with turn_of(index):
            if needs_fingerprints:
                fingerprinted = await cast(TrackedStore, store).fingerprint_all(index)
                if fingerprinted is not None:
                    await index.store_fingerprints(*fingerprinted, cursors[side])
            head = await store.token()
        if head is not None:
            found[side] = head
    return found


async def _headless(pair: Pair, cursors: Both[Cursor]) -> dict[Side, bool]:
    """Return the sides without a valid head, each with whether to hash all its rows."""
    states, found = await _states(pair), {}
    for side in SIDES:
        store, index = pair.stores[side].capabilities, pair.journal.indexes[side]
        if store.costly_reads:
            continue
        # Otherwise the look has stored the head, and nothing was written since.
        if states[side].head is None or states[side].cursor != cursors[side]:
            found[side] = store.tracks and await index.needs_fingerprints(MANY_WRITTEN)
    return found


async def _keys(
    pair: Pair, checkpoint: Checkpoint, cursors: Both[Cursor], keys: Collection[Key]
) -> Collection[Key] | None:
    """Return *keys* and all keys that changed since *checkpoint* (None: too many, or any key may have)."""
    policy, journal = pair.policy, pair.journal
    if not checkpoint.covers(policy.projects) or any(
        checkpoint.cursors[side].epoch != cursors[side].epoch for side in SIDES
    ):
        return None
    if any(_may_undo_unseen(pair.stores[side]) for side in SIDES):
        return None
    found = {*keys, *(await journal.decisions.all())}
    for side in SIDES:
        found |= await journal.indexes[side].changed_since(checkpoint.cursors[side], policy.projects)
    return None if len(found) > MANY else {key for key in found if policy.covers(key)}


def _may_undo_unseen(store: Store) -> bool:
    """Say whether a program may save a whole project of *store* in the state from before a write of smtd."""
    return not (store.capabilities.exclusive_writes or store.capabilities.saves_records)
