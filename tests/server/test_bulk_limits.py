"""Bad requests for many records: each is answered with a clear 4xx, and nothing of it is done."""

from __future__ import annotations

import gzip
from typing import Any

import anyio
import pytest

from smtd.server.writer import Writer
from tests.build import PROJECT, full, record
from tests.server.bulk import GET, WRITE, answered, asked, digest, get, ndjson, outcomes, post, wanted
from tests.server.served import Client

pytestmark = pytest.mark.halved

GOOD = ndjson(wanted(record("one")), wanted(record("two")))


def third(line: bytes) -> bytes:
    """Return a body whose third line is *line*."""
    return GOOD + line + b"\n" + ndjson(wanted(record("three")))


def keyed(**members: Any) -> bytes:
    """Return a line with other *members*."""
    return ndjson({**wanted(record("run")), **members}).rstrip()


BAD = {
    "broken": b'{"project": ',
    "blank": b"",
    "no object": b"[1]",
    "two objects": b"{} {}",
    "bad UTF-8": keyed(label="run").replace(b'"run"', b'"\xff"'),
    "raw NUL": keyed().replace(b"a first look", b"a\0b"),
    "NUL in a label": keyed(label="a\0b"),
    "half a pair of surrogates": keyed().replace(b'"label":"run"', b'"label":"\\ud800"'),
    "deep": b"[" * 100_000,
    "deep in a record": b'{"project":"p","label":"l","expect":null,"record":'
    + b'{"a":' * 10_000
    + b"1"
    + b"}" * 10_001,
    "a name twice": b'{"label": "run",' + keyed()[1:],
    "a name twice in a record": keyed().replace(b'"executable":{', b'"executable":{"path":"/x",'),
    "no expectation": ndjson({**asked("run"), "record": None}).rstrip(),
    "unknown": keyed(force=True),
    "a number as label": keyed(label=1),
    "a number as expectation": keyed(expect=2),
    "a list as record": keyed(record=[]),
    "endless digits": keyed(record=1).replace(b'"record":1', b'"record":' + b"1" * 10_000),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_line_is_named_and_nothing_is_written(ada: Client, case: str) -> None:
    """Not even the lines before it."""
    reply = await post(ada, WRITE, third(BAD[case]))

    assert reply.status == 400
    assert reply.json["error"].startswith("line 3 ")
    assert len(reply.json["error"]) < 500
    assert outcomes(await get(ada, asked("one"), asked("three"))) == ["absent", "absent"]


@pytest.mark.parametrize("path", [GET, WRITE])
async def test_empty_body_has_an_empty_answer(ada: Client, path: str) -> None:
    """And a last line needs no end."""
    assert answered(await post(ada, path, b"")) == []
    assert len(answered(await post(ada, GET, ndjson(asked("a"), asked("b"))[:-1]))) == 2


async def test_too_many_lines(ada: Client) -> None:
    """A thousand are taken, one more is not, whatever they are."""
    many = [asked(str(number)) for number in range(1001)]

    assert outcomes(await get(ada, *many[:1000])) == ["absent"] * 1000
    for sent in (ndjson(*many), ndjson(*many)[:-1], b"\n" * 2**20):
        reply = await post(ada, GET, sent)
        assert (reply.status, "1,000 lines" in reply.json["error"]) == (413, True)


async def test_too_many_bytes(ada: Client) -> None:
    """Packed or not."""
    large = ndjson(wanted(record("large", stdout_stderr="x" * (17 * 2**20))))
    for sent, packing in ((large, "identity"), (gzip.compress(large, 1), "gzip")):
        reply = await post(ada, WRITE, sent, Content_Encoding=packing)
        assert (reply.status, "16 MiB" in reply.json["error"]) == (413, True)


async def test_too_many_parts(ada: Client) -> None:
    """All lines together: each part takes fifty times its bytes in memory."""
    line = b'{"project":"p","label":"l","expect":null,"record":{"x":[' + b"1," * 400_000 + b"1]}}\n"

    reply = await post(ada, WRITE, line * 3)

    assert (reply.status, reply.json["error"]) == (400, "the body has more than 1,000,000 parts")


async def test_body_may_be_packed(ada: Client) -> None:
    """By gzip."""
    reply = await post(ada, WRITE, gzip.compress(GOOD), Content_Encoding="gzip")

    assert outcomes(answered(reply)) == ["done", "done"]


@pytest.mark.parametrize("path", [GET, WRITE])
async def test_page_of_another_site(ada: Client, path: str) -> None:
    """Its browser says so, or sends a form."""
    assert (await post(ada, path, GOOD, Sec_Fetch_Site="cross-site")).status == 403
    assert (await post(ada, path, GOOD, **{"Content-Type": "text/plain"})).status == 415


async def test_client_that_goes_away_leaves_whole_records(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were written are as they were sent; the rest was not begun, and can be sent again."""
    records = [full(f"r{number}") for number in range(200)]
    sent, submit, begun, count = ndjson(*map(wanted, records)), Writer.submit, anyio.Event(), 0

    async def some(self: Writer, *args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count > 1:
            begun.set()
            await anyio.sleep_forever()
        return await submit(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "submit", some)
        async with anyio.create_task_group() as group:
            group.start_soon(post, ada, WRITE, sent)
            with anyio.fail_after(10):
                await begun.wait()
            group.cancel_scope.cancel()
    lines = answered(await post(ada, GET, ndjson(*(asked(one.label) for one in records))))

    assert outcomes(lines) == ["found"] * 100 + ["absent"] * 100
    assert {line["digest"] for line in lines} == {digest(records[0]), None}
    assert outcomes(answered(await post(ada, WRITE, sent))) == ["done"] * 200
    assert len((await ada.get(f"records/{PROJECT}/")).json["records"]) == 200
