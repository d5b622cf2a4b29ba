"""smtd against its own server as a plain Sumatra Server: the contract of a store, without the feed."""

from __future__ import annotations

from typing import Any

import pytest

from smtd.records.canonical import digest
from smtd.stores.base import STALE, Change
from smtd.stores.http.session import Login, Trust, connect
from smtd.stores.http.store import HttpStore
from smtd.stores.http.writer import ServerWriter
from tests.build import change, commented, full, key, record
from tests.server.place import ServedPlace
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD, Client, Served
from tests.stores.contract import SilentContract
from tests.stores.samples import ALL


@pytest.mark.usefixtures("plain_client")
@pytest.mark.halved
class TestServedStore(SilentContract):
    """The contract, kept by a client that trusts nothing to be atomic, on a server where all is."""

    # What the server makes of each sort is in test_record_form.py.
    every_sort = ALL[::4]
    tried_at_every = 3
    write_interrupted_at_every = 10
    many = 40
    look_interrupted_at_every = 3

    @pytest.fixture
    def place(self, shared_server: ServerProcess) -> ServedPlace:
        made = ServedPlace(shared_server)
        made.clear()
        return made


RUNNING = full("run", tags=frozenset({"_running_"}))


@pytest.mark.parametrize(
    ("how", "before", "theirs", "mine"),
    [
        ("create", None, RUNNING, record("run")),
        ("annotate", record("run"), commented(record("run"), "theirs"), commented(record("run"), "mine")),
        ("replace", RUNNING, commented(RUNNING, "theirs"), change(RUNNING, version="mine")),
        ("delete", record("run"), commented(record("run"), "theirs"), None),
    ],
    ids=["create", "annotate", "replace", "delete"],
)
async def test_write_of_another_client_in_the_last_moment_is_not_overwritten(
    served: Served,
    ada: Client,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    before: Any,
    theirs: Any,
    mine: Any,
) -> None:
    """Between what smtd has read and what it writes, also where a proxy hides the API."""
    if before is not None:
        await ada.put(before)
    write = getattr(ServerWriter, how)

    async def late(self: ServerWriter, *given: Any) -> Any:
        await ada.put(theirs)
        return await write(self, *given)

    monkeypatch.setattr(ServerWriter, how, late)
    async with connect(f"{served.root}records/", Login("ada", PASSWORD), Trust()) as session:
        store = HttpStore(session, "the server")
        await store.scan()
        expect = None if before is None else digest(before)
        assert await store.write([Change(key("run"), mine, expect)]) == [STALE]
        stored = (await store.read([key("run")]))[key("run")]

    assert digest(stored) == digest(theirs)
