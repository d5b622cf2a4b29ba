"""Bad requests: each is answered with a clear 4xx, and the server keeps running."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest

from smtd import http_body
from smtd.server import answers, body, http_handler, records_api
from smtd.server import record_form as form
from smtd.server import serving as serving_of_server
from smtd.server.answers import RequestRefused
from smtd.web import forms
from tests.build import PROJECT, change, full, record
from tests.server.served import PASSWORD, Client, Served, serving
from tests.server.waiting import until

pytestmark = pytest.mark.halved

LISTED = f"records/{PROJECT}/"
FORM = "Content-Type: application/x-www-form-urlencoded"
LOGIN = f"Authorization: {aiohttp.encode_basic_auth('ada', PASSWORD)}"


def document(label: str = "run") -> bytes:
    return form.encoded(form.document(record(label), PROJECT))


async def raw(served: Served, data: bytes, *, most: int = 2**16) -> bytes:
    """Send *data* as it is, and return what comes back until the server closes or all is said."""
    found = urlsplit(served.root)
    reader, writer = await asyncio.open_connection(found.hostname, found.port)
    try:
        writer.write(data)
        with anyio.move_on_after(10):
            return await reader.read(most)
    finally:
        writer.close()
    return b""


def request(method: str, target: str, *headers: str) -> bytes:
    host = ("Host: localhost",) if not any(each.startswith("Host:") for each in headers) else ()
    lines = [f"{method} {target} HTTP/1.1", *host, LOGIN, "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.fixture(autouse=True)
async def server_still_works(served: Served, ada: Client) -> object:
    """Whatever was sent, the next one is served, and nothing was stored."""
    yield
    assert (await ada.put(record("after"))).status == 201
    assert (await ada.get(LISTED)).json["records"] == [f"{ada.root}{LISTED}after/"]


PATHS = {
    "a step up": ("/records/../etc/passwd", 400),
    "bad UTF-8": (f"/records/{PROJECT}/%ff%fe/", 400),
    "a slash in a project": ("/records/a%2Fb/", 400),
    "a whole address": (f"http://evil.example/records/{PROJECT}/x/", 404),
    "SQL": (f"/records/{PROJECT}/%27;drop%20table%20smtd_head--/", 404),
    "elsewhere": ("/admin", 404),
}


@pytest.mark.parametrize("case", PATHS)
async def test_path_tricks_are_refused(served: Served, case: str) -> None:
    """What is not there is not there, and what means nothing is said to."""
    target, status = PATHS[case]

    answer = await raw(served, request("GET", target))

    assert answer.split(b" ")[1] == str(status).encode()
    assert b"Traceback" not in answer


LINES = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b"/ HTTP/1.1\r\n\r\n",
    "two lengths": request("PUT", f"/{LISTED}run/", "Content-Length: 2", "Content-Length: 3") + b"{}",
    "a length and chunks": request(
        "PUT", f"/{LISTED}run/", "Content-Length: 2", "Transfer-Encoding: chunked"
    ),
    "no length": request("PUT", f"/{LISTED}run/", "Content-Length: -1"),
    "an endless line": request("GET", "/records/" + "a" * 20_000),
    "an endless header": request("GET", "/records/", "X: " + "a" * 20_000),
    "many headers": request("GET", "/records/", *(f"X-{number}: x" for number in range(1000))),
    "a broken chunk": request("PUT", f"/{LISTED}run/", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
    "a letter that is not quoted": request("GET", "/records/é/").decode("latin-1").encode(),
    "a byte that is not quoted": request("GET", "/records/\xff/"),
    "a query that is not quoted": request("GET", "/records/?tags=\xe9"),
    "no slash": request("GET", "records/"),
    "a header without a name": request("GET", "/records/", ": x"),
    "another version": b"GET /records/ HTTP/9.9\r\n\r\n",
    "an unknown expectation": request("GET", "/records/", "Expect: miracles"),
    "no path": request("OPTIONS", "*"),
    "a tunnel": request("CONNECT", "records:443"),
}


@pytest.mark.parametrize("case", LINES)
async def test_broken_http_is_refused(served: Served, case: str) -> None:
    """With a 4xx and a sentence, as every other error."""
    head, _, said = (await raw(served, LINES[case])).partition(b"\r\n\r\n")

    assert head.split(b" ")[1].startswith(b"4")
    assert b"Content-Type: application/json" in head
    assert b"aiohttp" not in head
    assert list(json.loads(said)) == ["error"]


async def test_body_that_waits_for_the_server_is_sent(served: Served) -> None:
    """curl asks before it sends a large one."""
    ask = request("PUT", "/records/New/", "Expect: 100-continue", "Content-Length: 2")

    first, _, second = (await raw(served, ask + b"{}", most=-1)).partition(b"\r\n\r\n")

    assert first == b"HTTP/1.1 100 Continue"
    assert second.startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("host", ["evil.example", "", "a b", "localhost@evil.example"])
async def test_request_under_the_name_of_another_host(served: Served, host: str) -> None:
    """A page elsewhere may have led a browser here."""
    answer = await raw(served, request("GET", "/records/", f"Host: {host}"))

    assert answer.split(b" ")[1] == b"400"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_page_of_another_site(ada: Client, site: str) -> None:
    """Its browser says so."""
    assert (await ada.get("records/", Sec_Fetch_Site=site)).status == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/html"]
)
async def test_body_of_a_form(ada: Client, kind: str) -> None:
    """Pages of any site can send one."""
    assert (await ada.ask("PUT", f"{LISTED}run/", document(), Content_Type=kind)).status == 415


BODIES: dict[str, bytes] = {
    "empty": b"",
    "deep": b"[" * 2**20,
    "another label": document("other"),
    "code": document().replace(
        b'{"working_directory":"/code","options":null}', b"\"__import__('os').abort()\""
    ),
}


@pytest.mark.parametrize("case", BODIES)
async def test_bad_body(ada: Client, case: str) -> None:
    """With one sentence, and nothing of it is run or kept."""
    reply = await ada.ask("PUT", f"{LISTED}run/", BODIES[case])

    assert reply.status in (400, 422)
    assert len(reply.json["error"]) < 1000


async def test_large_body(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its length, by its chunks, and decompressed."""
    monkeypatch.setattr(records_api, "LARGEST", 2**16)
    large = document().replace(b"a first look", b"x" * 2**17)

    async def chunks() -> object:
        for start in range(0, len(large), 1000):
            yield large[start : start + 1000]

    plain = await ada.ask("PUT", f"{LISTED}run/", large)
    compressed = await ada.ask("PUT", f"{LISTED}run/", gzip.compress(large), Content_Encoding="gzip")
    async with ada.session.put(
        f"{ada.root}{LISTED}run/", data=chunks(), headers={**ada.login, "Content-Type": "application/json"}
    ) as answer:
        chunked = answer.status

    assert (plain.status, compressed.status, chunked) == (413, 413, 413)
    assert "64 KiB" in plain.json["error"]


async def test_bomb_costs_no_more_than_the_limit(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much more of nothing than the limit, in little space, is decompressed in steps, and no further."""
    monkeypatch.setattr(records_api, "LARGEST", 2**20)
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(pack.compress(bytes(2**20)) for _ in range(32)) + pack.flush()
    seen: list[int] = []
    reserve = body.Bodies.reserve

    def counted(bodies: body.Bodies, count: int, held: int = 0) -> None:
        seen.append(count)
        reserve(bodies, count, held)

    monkeypatch.setattr(body.Bodies, "reserve", counted)

    reply = await ada.ask("PUT", f"{LISTED}run/", bomb, Content_Encoding="gzip")

    assert reply.status == 413
    assert sum(seen) <= 2**20
    assert max(seen) <= http_body.STEP


@pytest.mark.parametrize(
    ("encoding", "compressed", "status"),
    [
        ("gzip", gzip.compress(b"{}")[:-4], 400),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"{}") + b"more", 400),
        ("br", b"{}", 415),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), 415),
    ],
    ids=["cut off", "damaged", "with more", "unknown", "twice"],
)
async def test_badly_compressed_body(ada: Client, encoding: str, compressed: bytes, status: int) -> None:
    """Cut off, damaged, or compressed in an unknown way."""
    assert (await ada.ask("PUT", f"{LISTED}run/", compressed, Content_Encoding=encoding)).status == status


async def test_many_large_bodies_at_once() -> None:
    """All bodies together are bounded; a request beyond that is asked to retry."""
    bodies = body.Bodies(1000)
    bodies.reserve(900)

    with pytest.raises(RequestRefused) as refused:
        bodies.reserve(200)

    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"]
    bodies.release(900)
    bodies.reserve(1000)


async def test_large_bodies_that_never_end_keep_no_usual_one_out(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`smt run` does not repeat a save that is refused."""
    size = 3 * 2**19
    bodies = body.Bodies(2 * size)
    monkeypatch.setattr(serving_of_server, "Bodies", lambda: bodies)
    data = request("PUT", f"/{LISTED}run/", "Content-Encoding: gzip", "Content-Length: 9000000")
    data += gzip.compress(b" " * size)[:-8]
    answered: list[bytes] = []
    async with serving(tmp_path_factory.mktemp("other")) as other, anyio.create_task_group() as group:

        def is_taken(left: int) -> bool:
            return bodies._available == left or bool(answered)

        async def send() -> None:
            answered.append(await raw(other, data))

        await other.ada.make()
        for left in (size, 0):
            group.start_soon(send)
            await until(partial(is_taken, left))

        reply = await other.ada.put(record("usual"))
        group.cancel_scope.cancel()

    assert reply.status == 201


async def test_slow_body(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that trickles in delays no other request, and is cut off in the end."""
    monkeypatch.setattr(http_body, "GRACE", 0.1)

    answer = await raw(served, request("PUT", f"/{LISTED}run/", "Content-Length: 1000") + b"{")

    assert answer.split(b" ")[1] == b"408"


async def test_slow_form_of_a_stranger(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off as well: it would keep one of the few connections for ever."""
    monkeypatch.setattr(http_body, "GRACE", 0.1)

    answer = await raw(served, request("POST", "/login", FORM, "Content-Length: 1000") + b"name=ada")

    assert answer.split(b" ")[1] == b"408"
    assert b"The form arrived too slowly" in answer


async def test_large_form_of_a_stranger(served: Served) -> None:
    """It is refused before all of it is in memory."""
    most = forms.SMALL + 1

    answer = await raw(served, request("POST", "/login", FORM, f"Content-Length: {2**20}") + b"x" * most)

    assert answer.split(b" ")[1] == b"413"


async def test_idle_connection_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is closed, also in the middle of a header."""
    monkeypatch.setattr(http_handler, "KEEPALIVE", 0.2)
    async with serving(tmp_path_factory.mktemp("other")) as other:
        for data in (b"", b"GET /records/ HTT", b"GET /records/ HTTP/1.1\r\nHost: loc"):
            with anyio.fail_after(5):
                assert await raw(other, data) == b""


async def test_too_many_wrong_passwords(served: Served) -> None:
    """They have to wait, and the correct password does not."""
    stranger = served.client("ada", "guess")

    statuses = [(await stranger.get("records/")).status for _ in range(12)]

    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await served.ada.get("records/")).status == 200


async def test_large_record_is_stored(served: Served) -> None:
    """Sumatra Server takes 2.5 MB; a long output is no attack."""
    ada = served.ada
    await ada.make("Large")
    large = change(full("large"), stdout_stderr="line, after line\n" * 500_000)

    assert (await ada.put(large, "Large")).status == 201
    assert len((await ada.get("records/Large/large/")).json["stdout_stderr"]) == len(
        large.stdout_stderr or ""
    )
    (event,) = (await ada.changes(include="records", project="Large")).json["changes"]
    assert "record" not in event


@pytest.mark.slow
async def test_client_that_reads_no_answer_is_disconnected(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large record: its line is cut, and what waited for it is let go."""
    monkeypatch.setattr(answers, "SEND_TIMEOUT", 0.1)
    ada = served.ada
    await ada.make("Large")
    await ada.put(change(full("large"), stdout_stderr="x" * 30_000_000), "Large")

    with greedy(served, request("GET", "/records/Large/large/")) as port:
        await until(lambda: not is_connected(port))


@pytest.mark.slow
async def test_clients_that_read_no_answers_do_not_fill_the_memory(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client is asked to come back, usual answers go on, and the first one that leaves makes room."""
    monkeypatch.setattr(answers, "MOST_PENDING", 30_000_000)
    ada = served.ada
    await ada.make("Large")
    await ada.put(change(full("large"), stdout_stderr="x" * 30_000_000), "Large")
    await ada.put(full("small"), "Large")
    await ada.put(full("usual", stdout_stderr="x" * 200_000), "Large")

    with greedy(served, request("GET", "/records/Large/large/")):
        await until(lambda: answers.LargeAnswer.pending > 30_000_000)
        refused = await ada.get("records/Large/large/")
        small = await ada.get("records/Large/small/")
        usual = await ada.get("records/Large/usual/")
    await until(lambda: not answers.LargeAnswer.pending)

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json == {"error": "the server is sending too much at once; try again"}
    assert (small.status, usual.status) == (200, 200)
    assert (await ada.get("records/Large/large/")).status == 200
    assert not answers.LargeAnswer.pending


@pytest.mark.slow
async def test_unread_stream_is_closed(served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is let go, and makes room for another."""
    monkeypatch.setattr(answers, "SEND_TIMEOUT", 0.5)
    await ada.make("Large")
    for number in range(20):
        await ada.put(change(full(f"large-{number}"), stdout_stderr="x" * 900_000), "Large")

    with greedy(served, request("GET", "/api/v1/changes?include=records", "Accept: text/event-stream")):
        await until_streams(served, 1)
        await until_streams(served, 0)
    await ada.ask("DELETE", "records/Large/")


async def until_streams(served: Served, count: int) -> None:
    """Wait until so many streams are open."""

    async def are_open() -> bool:
        return f"smtd_server_streams {count}.0\n" in (await served.client().get("metrics")).body.decode()

    await until(are_open)


@contextmanager
def greedy(served: Served, data: bytes) -> Iterator[int]:
    """Send *data* for the length of a `with` block, and take nothing of what comes back; give the port."""
    found = urlsplit(served.root)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((found.hostname, found.port))
        line.sendall(data)
        yield line.getsockname()[1]


def is_connected(port: int) -> bool:
    """Say whether the server still has its end of the line from *port*, as established."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return any(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


async def test_client_that_disconnects(served: Served, ada: Client) -> None:
    """In the middle of whatever."""
    moments: list[Callable[[], Awaitable[bytes]]] = [
        lambda: raw(served, request("PUT", f"/{LISTED}run/", "Content-Length: 1000") + b"{", most=0),
        lambda: raw(served, request("GET", "/api/v1/changes?since=0&wait=20"), most=0),
        lambda: raw(served, request("GET", "/api/v1/changes", "Accept: text/event-stream"), most=0),
    ]

    for leave in moments:
        await leave()

    assert (await ada.get("healthz")).json == {"ok": True}
    assert json.loads((await ada.get("records/")).body)
