"""A server that sends slowly, endlessly or a bomb costs one failed look, some seconds and limited memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from smtd import http_body
from smtd.errors import StoreBusy, StoreError, StoreUnreachable
from smtd.stores.base import Store
from smtd.stores.http import address, answer, session
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, key
from tests.peers.line import Fault, Line, line_to

pytestmark = pytest.mark.usefixtures("plain_client")

PLACE = "https://records.lab.example/records/"


def listing(count: int) -> bytes:
    """Return a listing of *count* records, as a Sumatra Server writes it, with the longest labels."""
    addresses = [f"{PLACE}{PROJECT}/{number:0100d}/" for number in range(count)]
    return json.dumps({"id": PROJECT, "records": addresses, "access": ["ada"]}).encode()


def of(body: bytes, **headers: str) -> Fault:
    """Answer with *body*."""

    async def fault(_line: Line, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": "application/json", **headers})

    return fault


def in_parts(part: bytes, pause: float) -> Fault:
    """Answer with *part* repeatedly."""

    async def fault(_line: Line, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(part)
            await anyio.sleep(pause)

    return fault


@asynccontextmanager
async def answering(fault: Fault) -> AsyncIterator[tuple[Store, Line]]:
    """Open a store whose server always answers with *fault*."""
    async with line_to("http://127.0.0.1:1") as line:
        line.faults = dict.fromkeys(range(1, 100), fault)
        async with open_store(Location(HTTP, Path(), url=f"{line.url}/records/")) as store:
            yield store, line


async def failure(store: Store) -> StoreError:
    with pytest.raises(StoreError) as told:
        await store.scan([PROJECT])
    return told.value


async def test_listing_of_many_records_is_read() -> None:
    """A hundred thousand of the longest labels are well below the bounds."""
    body = await anyio.to_thread.run_sync(listing, 100_000)

    assert len(body) < answer.LISTING
    async with line_to("http://127.0.0.1:1") as line, opened(line) as asking:
        line.faults = {1: of(body)}
        got = await asking.get(PROJECT)
        answer.check_listing(got.body)

        def understood(content: bytes) -> int:
            return len(address.listed(PLACE, PROJECT, json.loads(content)["records"])[0])

        assert await asking.understood(understood, got.body) == 100_000


BOMBS: dict[str, Callable[[bytes], tuple[bytes, str]]] = {
    "gzip": lambda plain: (gzip.compress(plain), "gzip"),
    "deflate": lambda plain: (zlib.compress(plain), "deflate"),
    "plain": lambda plain: (plain, "identity"),
}


async def test_answer_without_the_header_of_deflate_is_read_to_its_end() -> None:
    """Some servers omit it, and then zlib may hold the last bytes when it has read all input."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    whole = b" " * (http_body.STEP + 40)
    packed = pack.compress(whole) + pack.flush()

    async with line_to("http://127.0.0.1:1") as line, opened(line) as asking:
        line.faults = {1: of(packed, **{"Content-Encoding": "deflate"})}
        assert (await asking.get(PROJECT)).body == whole


@pytest.mark.parametrize("packed", BOMBS)
async def test_answer_that_is_too_large_is_not_read_further(
    monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    """Compressed or not; smtd does not repeat the request at once."""
    monkeypatch.setattr(session, "LISTING", 2**20)
    body, encoding = BOMBS[packed](b" " * 2**21)

    async with answering(of(body, **{"Content-Encoding": encoding})) as (store, line):
        told = await failure(store)

    assert "answers with more than 1 MiB" in str(told)
    assert not isinstance(told, StoreBusy)
    assert len(line.requests) == 1


async def test_server_without_tls_is_named_at_once() -> None:
    """Trying again at once does not help, but another address may; the pair is offline until then."""
    async with line_to("http://127.0.0.1:1") as line:
        address = f"{line.url}/records/".replace("http://", "https://")
        async with open_store(Location(HTTP, Path(), url=address)) as store:
            told = await failure(store)

    assert type(told) is StoreUnreachable
    assert str(told) == (
        f"{address} does not use TLS; if that is right, write http:// instead, else ask its administrator"
    )


async def test_endless_answer_counts_as_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """smtd stops reading it."""
    monkeypatch.setattr(session, "LISTING", 2**20)

    async with answering(in_parts(b" " * 2**16, 0)) as (store, _):
        assert "answers with more than 1 MiB" in str(await failure(store))


async def test_listing_that_expands_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take many times its size."""
    monkeypatch.setattr(answer, "ENTRIES", 1000)

    async with answering(of(b'{"records":[' + b"{}," * 2000 + b"{}]}")) as (store, _):
        assert "lists more than 1,000 entries" in str(await failure(store))


async def test_record_that_is_too_large_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """smtd reads the listing and all other records."""
    monkeypatch.setattr(session, "DOCUMENT", 1000)
    listed = json.dumps({"id": PROJECT, "records": [f"http://x/records/{PROJECT}/run/"]}).encode()

    async def by_path(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        return await of(listed if request.path.endswith(f"/{PROJECT}/") else b" " * 2000)(line, request)

    async with answering(by_path) as (store, _):
        scan = await store.scan([PROJECT])

    assert "answers with more than" in scan.unreadable[key("run")]


@pytest.mark.parametrize("fault", [in_parts(b"[", 0.05), in_parts(b"", 0.05)])
async def test_trickling_answer_is_given_up_after_a_retry(
    monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Until the next cycle."""
    monkeypatch.setattr(http_body, "GRACE", 0.3)
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)

    async with answering(fault) as (store, line):
        told = await failure(store)

    assert isinstance(told, StoreUnreachable)
    assert "answers too slowly" in str(told)
    assert len(line.requests) == 2


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no gzip", "gzip"), (gzip.compress(b"{}")[:-4], "gzip"), (b"{}", "br")],
    ids=["another format", "cut off", "an unknown format"],
)
async def test_corrupt_compressed_answer_makes_the_server_unreachable(
    monkeypatch: pytest.MonkeyPatch, body: bytes, encoding: str
) -> None:
    """smtd tries again later."""
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)

    async with answering(of(body, **{"Content-Encoding": encoding})) as (store, _):
        assert "cannot be reached" in str(await failure(store))


@pytest.mark.parametrize("pack", BOMBS.values())
async def test_compressed_answer_is_read(pack: Callable[[bytes], tuple[bytes, str]]) -> None:
    """As real servers compress them."""
    body, encoding = pack(json.dumps({"id": PROJECT, "records": []}).encode())

    async with answering(of(body, **{"Content-Encoding": encoding})) as (store, _):
        assert (await store.scan([PROJECT])).digests == {}


REDIRECTIONS = {
    "https://lab.example/records/MyProject/": "https://lab.example/records/",
    "https://lab.example/new/place/MyProject": "https://lab.example/new/place/",
    "https://ada:secret@lab.example:8443/r/MyProject/?next=/r/#x": "https://lab.example:8443/r/",
    "/elsewhere/MyProject/": "http://old.example/elsewhere/",
    "//other.example/records/MyProject/": "http://other.example/records/",
}


@pytest.mark.parametrize("place", REDIRECTIONS)
def test_redirect_gives_an_address_for_the_configuration(place: str) -> None:
    """Without the document, a query, a fragment or a user."""
    said = address.redirection("http://old.example/records/", ("MyProject",), place)

    assert said == f"redirects to {REDIRECTIONS[place]}; name that location instead"


@pytest.mark.parametrize(
    "place",
    [
        *("", "https://lab.example/login/?next=/records/", "ftp://lab.example/records/MyProject/"),
        *(
            "http://[broken/MyProject/",
            "http://old.example/records/MyProject/?again",
            "\x1b[31m",
            "https:///x/",
        ),
    ],
)
def test_redirect_to_an_unusable_address_gives_no_advice(place: str) -> None:
    """And shows nothing of that address."""
    said = address.redirection("http://old.example/records/", ("MyProject",), place)

    assert said == "redirects to something other than its records; check the address in a browser"


@asynccontextmanager
async def opened(line: Line) -> AsyncIterator[session.Session]:
    async with session.connect(f"{line.url}/records/", None, session.Trust()) as asking:
        yield asking
