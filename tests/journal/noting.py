"""Tell a journal what became true, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from smtd.journal.pair import PairJournal
from smtd.journal.values import Agreement, Landed
from smtd.merge.sides import Both
from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from tests.build import PROJECT


def agreement(made: Record, project: str = PROJECT) -> Agreement:
    """Return the agreement of both sides on a record."""
    return Agreement(Key(project, made.label), Both(digest(made), digest(made)), made)


async def note(
    known: PairJournal,
    *,
    agreements: Sequence[Agreement] = (),
    forgotten: Collection[Key] = (),
    landed: Sequence[Landed] = (),
    ended: Collection[Key] = (),
    entries: Collection[int] = (),
    files: Both[str] | None = None,
) -> None:
    """Note all of that, as the end of a batch of writes does."""
    async with known.transaction() as tx:
        tx.set_baselines(agreements)
        tx.drop_baselines(forgotten)
        tx.log_writes(landed)
        tx.finish(ended)
        tx.mark_landed(entries)
        if files is not None:
            tx.set_store_marks(files)
