"""The contract for the store behind a real Sumatra Server."""

from __future__ import annotations

import pytest

from smtd.stores.base import DONE, Result
from tests.build import PROJECT, record
from tests.peers.server import SumatraServer
from tests.sampling import SOAK
from tests.stores.asking import create
from tests.stores.contract import SilentContract
from tests.stores.places import Place
from tests.stores.samples import ALL
from tests.stores.server_place import ServerPlace


class TestServer(SilentContract):
    """The contract for a server, which shows no sign of a change."""

    # Each record costs requests of its own.
    every_sort = ALL if SOAK else ALL[::3]
    tried_at_every = 2
    write_interrupted_at_every = 5
    many = 40 if SOAK else 12
    look_interrupted_at_every = 1 if SOAK else 3

    async def finished(self, place: Place) -> None:
        assert isinstance(place, ServerPlace)
        await place.finished()

    @pytest.fixture
    def place(self, server: SumatraServer) -> Place:
        return ServerPlace(server)

    async def test_server_has_no_token(self, place: Place) -> None:
        """Only a new look shows whether a server has changed."""
        await place.put(record())

        async with place.open() as store:
            await store.scan()

            assert await store.token() is None
            assert not await store.unchanged_since(b"")

    async def test_record_that_the_server_cannot_hold_is_refused_alone(self, place: Place) -> None:
        """With a reason; nothing of it stays there, and the other records arrive."""
        there = [record(one.label, parameters=one.parameters) for one in ALL if one.parameters.type == "str"]
        odd = [*place.unfit, *there, *(one for one in ALL if not place.fits(one))]
        good = record("good")

        async with place.open() as store:
            outcomes = await store.write([create(one) for one in (*odd, good)])
            scan = await store.scan([PROJECT])

        told = dict(zip([one.label for one in (*odd, good)], outcomes, strict=True))
        refused = {label: each for label, each in told.items() if each != DONE}
        assert told["good"] == DONE
        assert len(refused) > len(told) * 0.8
        assert all(each.result is Result.REFUSED and each.reason for each in refused.values())
        assert {of.label for of in scan.digests} == told.keys() - refused.keys()
        assert scan.unreadable == {}
