"""Find the projects to which other clients add records, in a store that can create a record twice.

Such a store creates a record twice if two clients create it at the same time.
"""

from __future__ import annotations

from collections.abc import Collection
from weakref import WeakKeyDictionary

from smtd.engine.actions import ActionKind, Plan
from smtd.engine.pair import Pair
from smtd.merge.sides import Side
from smtd.stores.base import Store

#: By store, the projects with records that smtd did not create, as the history had them when this process
#: first asked. The store itself notices what other clients create later.
_made_by_others: WeakKeyDictionary[Store, Collection[str]] = WeakKeyDictionary()


async def contested(pair: Pair, side: Side, plan: Plan) -> Collection[str]:
    """Return the projects of *side* to which other clients may be adding records.

    These are projects with records that smtd did not create according to the journal, and projects without
    any record, which another client may be about to fill, too. Empty if *plan* creates nothing on *side*, or
    if the store cannot create a record twice.
    """
    store = pair.stores[side]
    made = [each for each in plan.actions if each.creates and each.copies_to(side)]
    if not store.capabilities.creates_duplicates or not made:
        return ()
    if store not in _made_by_others:
        _made_by_others[store] = await pair.journal.made_by_others(side)
    found = {*_made_by_others[store]} | {each.project for each in plan.conflicts}
    found |= {
        action.key.project
        for action in plan.actions
        if action.kind is ActionKind.AGREE or (action.creates and action.copies_to(side.other))
    }
    begun = await pair.journal.indexes[side].held(None)
    return found | {action.key.project for action in made if action.key.project not in begun}
