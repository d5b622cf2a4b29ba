"""The driver for servers over HTTP, recognized by their addresses: Sumatra Server, and smtd's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from smtd.errors import UsageError
from smtd.stores.access import Access
from smtd.stores.base import Store
from smtd.stores.driver import Announcements, Driver, Place, ProjectEntry, Server

if TYPE_CHECKING:
    from smtd.stores.http.session import Session

_PORTS = {"http": 80, "https": 443}


def _parse(address: str, access: Access) -> tuple[str, Access]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Python's message shows a part of the address, which may be part of a password.
        raise UsageError(
            "this is not the address of a Sumatra Server; in a password, write # as %23, / as %2F and @ as"
            " %40"
        ) from None
    if not host or parts.scheme not in _PORTS or parts.query or parts.fragment:
        raise UsageError("this is not the address of a Sumatra Server; write it like https://host/records/")
    if parts.username:
        password = None if parts.password is None else unquote(parts.password)
        access = access.of(unquote(parts.username), password)
    place = f"[{host}]" if ":" in host else host
    place += "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return f"{parts.scheme}://{place}{path}", access


@asynccontextmanager
async def _connected(place: Place) -> AsyncIterator[Session]:
    # Imported here: a sync of two files does not need aiohttp.
    from smtd.stores.http.session import Bearer, Login, Trust, connect

    access = place.access
    login: Login | Bearer | None = None
    if access.token is not None:
        login = Bearer(access.token)
    elif access.username is not None:
        login = Login(access.username, access.password or "")
    trust = Trust(access.ca_file, access.verify_tls)
    async with connect(place.url, login, trust, access.proxy) as session:
        yield session


@asynccontextmanager
async def _open(place: Place) -> AsyncIterator[Store]:
    async with _connected(place) as session:
        from smtd.stores.http import link
        from smtd.stores.http.feed_store import FeedStore
        from smtd.stores.http.store import HttpStore

        plain = HttpStore(session, str(place))
        api = await link.find(session, str(place))
        yield plain if api is None else FeedStore(api, plain)


async def _try_write(place: Place, projects: Collection[str]) -> str:
    async with _connected(place) as session:
        from smtd.stores.http import link

        return await link.try_write(session, str(place), projects)


@asynccontextmanager
async def _subscribe(place: Place, changed: Callable[[], None]) -> AsyncIterator[Announcements]:
    async with _connected(place) as session, AsyncExitStack() as stack:
        from smtd.stores.http import link
        from smtd.stores.http.feed_listener import listening

        api = await link.find(session, str(place))
        if api is None:
            yield Announcements(lambda: True, lambda: False)
        else:
            yield await stack.enter_async_context(listening(api, changed))


HTTP = Driver(
    name="http",
    open=_open,
    try_write=_try_write,
    server=Server(
        schemes=tuple(_PORTS), parse=_parse, over_http=True, hides_projects=True, subscribe=_subscribe
    ),
    project=ProjectEntry("HttpRecordStore", "server_url"),
)
