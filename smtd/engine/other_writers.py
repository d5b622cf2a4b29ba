"""Whether others add records to the projects of a store in which two who make one at once make it twice."""

from __future__ import annotations

from collections.abc import Collection
from weakref import WeakKeyDictionary

from smtd.engine.actions import ActionKind, Plan
from smtd.engine.pair import Pair
from smtd.merge.sides import Side
from smtd.stores.base import Store

#: What the history said when this process first asked; the store itself sees what happens since.
_told: WeakKeyDictionary[Store, Collection[str]] = WeakKeyDictionary()


async def contested(pair: Pair, side: Side, plan: Plan) -> Collection[str]:
    """Return the projects of *side* to which others may be adding records.

    They do, or did, if there are records that this journal never made, or none at all: then somebody else
    may be about to begin, too.
    """
    store = pair.stores[side]
    made = [each for each in plan.actions if each.creates and each.copies_to(side)]
    if not store.capabilities.makes_doubles or not made:
        return ()
    if store not in _told:
        _told[store] = await pair.journal.made_by_others(side)
    found = {*_told[store]} | {each.project for each in plan.conflicts}
    found |= {
        action.key.project
        for action in plan.actions
        if action.kind is ActionKind.AGREE or (action.creates and action.copies_to(side.other))
    }
    begun = await pair.journal.indexes[side].held(None)
    return found | {action.key.project for action in made if action.key.project not in begun}
