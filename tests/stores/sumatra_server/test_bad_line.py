"""The contract across a line to a real Sumatra Server on which many requests fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import cycle, islice

import pytest

from smtd.stores import retrying
from smtd.stores.http import session, writer
from tests.peers import line as faults
from tests.peers.line import line_to
from tests.peers.server import SumatraServer
from tests.sampling import SOAK
from tests.stores.contract import SilentContract
from tests.stores.places import Place
from tests.stores.samples import ALL
from tests.stores.server_place import ServerPlace

#: `make soak` makes every third request fail, `make test` every seventh, with fewer kinds of records.
OFTEN = 3 if SOAK else 7
#: Passing failures, before and after the server has done what it was asked for.
PASSING = [
    faults.status(503, Retry_After="0"),
    faults.lost,
    faults.reset,
    faults.cut(40),
    faults.status(429),
    faults.status_after(502),
    faults.late,
    faults.cut(0),
    faults.status(503),
    faults.status_after(504),
]


@pytest.mark.halved
class TestServerByABadLine(SilentContract):
    """The contract for the store that `registry.open_store` makes, which retries failed requests."""

    write_interrupted_at_every = 12
    many = 20 if SOAK else 8
    every_sort = ALL if SOAK else ALL[::4]
    tried_at_every = 5
    look_interrupted_at_every = 1 if SOAK else 3

    @pytest.mark.soak
    async def test_write_to_every_field(self, place: Place) -> None:
        await super().test_write_to_every_field(place)

    async def finished(self, place: Place) -> None:
        assert isinstance(place, ServerPlace)
        await place.finished()

    @pytest.fixture
    async def place(self, server: SumatraServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
        for module in (session, retrying):
            monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
            monkeypatch.setattr(module, "LONGEST_PAUSE", 0.001)
            # Far more requests of a call fail here than on any real line.
            monkeypatch.setattr(module, "ATTEMPTS", 30)
        monkeypatch.setattr(writer, "PARTIAL_AFTER", 0.0)
        async with line_to(server.root) as line:
            numbers = range(OFTEN, 50_000, OFTEN)
            line.faults = dict(zip(numbers, islice(cycle(PASSING), len(numbers)), strict=True))
            place = ServerPlace(server, f"{line.url}/records/")
            yield place
            assert (
                place.run(
                    "SELECT label FROM django_store_record GROUP BY project_id, label HAVING count(*) > 1"
                )
                == []
            )
