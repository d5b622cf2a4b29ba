"""Find the record that a user most likely meant by a key that neither side has."""

from __future__ import annotations

from smtd.engine.pair import Pair
from smtd.merge.sides import SIDES
from smtd.records.record import Key
from smtd.spelling import nearest
from smtd.stores.index import State


async def hint(pair: Pair, key: Key, otherwise: str = "") -> str:
    """Return the end of an error about *key*, which neither side has; *otherwise* if no key is likely."""
    if (found := await _likely(pair, key)) is not None:
        return f"; did you mean {str(found)!r}?"
    return f"; {otherwise}" if otherwise else ""


async def _likely(pair: Pair, key: Key) -> Key | None:
    """Return the only record with this label in another project, else one with a similar name."""
    indexes = [pair.journal.indexes[side] for side in SIDES]
    projects = sorted({project for index in indexes for project in await index.record_counts(None)})
    others = [Key(project, key.label) for project in projects]
    known = {
        found
        for index in indexes
        for found, entry in (await index.entries(others)).items()
        if entry.state is not State.ABSENT
    }
    if len(known) == 1:
        return known.pop()
    project = key.project if key.project in projects else nearest(key.project, projects)
    if project is None:
        return None
    labels = {each.label for index in indexes for each in await index.present({project})}
    label = nearest(key.label, labels)
    return None if label is None else Key(project, label)
