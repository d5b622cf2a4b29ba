"""A client that opens the store of the same server again, as the background verification does each time."""

from __future__ import annotations

from typing import Any

import pytest

from smtd.errors import StoreUnreachable
from smtd.stores.base import Store
from smtd.stores.http.driver import HTTP
from smtd.stores.http.feed_store import FeedStore
from smtd.stores.http.session import Answer, Session
from smtd.stores.http.store import HttpStore
from tests.build import key, record
from tests.server.served import Client, Served
from tests.server.test_following import place
from tests.server.test_idle import requests


async def kind(served: Served) -> type[Store]:
    """Return how the client uses the server."""
    async with HTTP.open(place(served.root)) as store:
        return type(store)


async def test_store_that_is_opened_again_asks_only_for_the_records(served: Served, ada: Client) -> None:
    """It knows from before that the server is smtd's own."""
    await ada.put(record())
    await kind(served)
    before = await requests(ada)

    async with HTTP.open(place(served.root)) as store:
        assert list(await store.read([key("run")])) == [key("run")]

    assert await requests(ada) - before - 1 == 1


async def test_api_that_disappears_is_noticed(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first request; the next time the server is used as a Sumatra Server."""

    async def hidden(*_: Any, **__: Any) -> Answer:
        return Answer(404, b"")

    assert await kind(served) is FeedStore
    monkeypatch.setattr(Session, "post", hidden)
    async with HTTP.open(place(served.root)) as store:
        with pytest.raises(StoreUnreachable, match="status 404"):
            await store.read([key("run")])

    assert await kind(served) is HttpStore
