"""A pair continues from the look of another pair at the same store as if it had looked itself."""

from __future__ import annotations

from typing import Any

import anyio

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.filestat import SETTLE
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.base import Store
from smtd.stores.location import Location
from tests.build import commented, record
from tests.stores.places import DjangoPlace


async def test_store_that_another_pair_has_looked_at_is_settled_for_this_pair_too(tmp_path: Any) -> None:
    """A scrub takes a difference for a change in transit as long as a store says that others are writing."""
    hub, one, other = (DjangoPlace(tmp_path / f"{name}.sqlite") for name in ("hub", "one", "other"))
    first, second = (Both(hub.location, place.location) for place in (one, other))
    async with (
        open_journal(tmp_path / "state") as journal,
        pairing.open_stores(first) as stores,
        pairing.open_stores(second) as others,
    ):

        async def cycle(pair: Both[Location], opened: Both[Store]) -> None:
            report = await pairing.sync(journal, str(pair.right), pair, opened, Policy())
            assert (report.ok, report.right.written) == (True, 1)

        for text, turns in (
            ("", ((first, stores), (second, others))),
            ("seen by the second pair", ((second, others), (first, stores))),
            ("seen by the first pair", ((first, stores), (second, others))),
        ):
            await hub.put(commented(record("run"), text))
            await anyio.sleep(4 * SETTLE)  # no program writes for a moment
            for turn in turns:
                await cycle(*turn)

        assert await stores.left.token() is not None
        assert await others.left.token() is not None
