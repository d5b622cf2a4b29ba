"""A client of records that asks at the address of the server, and not at that of its records."""

from __future__ import annotations

import pytest

from smtd.errors import StoreElsewhere
from smtd.stores.discovery import find
from smtd.stores.http import address
from smtd.stores.registry import open_store
from tests.server.served import Client, Served


async def test_address_of_the_server_leads_to_that_of_its_records(served: Served, ada: Client) -> None:
    """A person names a server by its host; a client of records learns where they are, and says so."""
    location = find(served.root.replace("://", "://ada:x@"))
    with pytest.raises(StoreElsewhere) as told:
        async with open_store(location) as store:
            await store.projects()

    assert told.value.address == f"{served.root}records/"


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example/records/", "http://lab.example/", "javascript:x"]
)
def test_link_to_another_server_is_not_followed(link: str) -> None:
    assert address.elsewhere("https://lab.example/", f'<{link}>; rel="https://smtd/records"') == ""
