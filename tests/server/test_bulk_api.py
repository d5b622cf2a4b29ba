"""`POST /api/v1/records:get` and `records:write`: what comes of each line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd.records import canonical
from smtd.records.record import Key, Repository
from smtd.server import bulk_api
from smtd.server.change_log import Content
from smtd.server.database import ServedDatabase
from smtd.server.memory import ProjectInfo
from smtd.server.opening import open_database
from smtd.server.transaction import Put, WriteTransaction
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.record_rows import RecordRows, RowChange
from smtd.stores.http import form
from tests.build import PROJECT, change, commented, full, record
from tests.server.bulk import WRITE, asked, digest, get, ndjson, outcomes, post, wanted, write
from tests.server.served import Client, Served
from tests.server.test_foreign_writes import next_changes
from tests.server.waiting import until_status
from tests.stores.places import DjangoPlace

ODD = {
    "everything": full("odd"),
    "unicode": full("odd", reason="Größe 测量 🧪\u2028\n\t", tags=frozenset({"_finished_", "größe"})),
    "endless": full("odd", duration=float("inf")),
    "endless backwards": full("odd", duration=float("-inf")),
    "no number": full("odd", duration=float("nan")),
    "unfinished": full("odd", duration=None, tags=frozenset({"_running_"})),
}


async def spoiled(served: Served, ada: Client, label: str = "bad") -> str:
    """Leave an unreadable record in the database; return its digest once the server has noticed."""
    before = (await ada.changes()).json["next"]
    await DjangoPlace(served.store).spoil(label)
    with anyio.fail_after(10):
        while True:
            for told in (await ada.changes(before)).json["changes"]:
                if told["label"] == label and (told["digest"] or "").startswith("0-"):
                    return str(told["digest"])
            await anyio.sleep(0.01)


# What is there


async def test_record_is_given_as_in_the_feed(ada: Client) -> None:
    """With its digest and microseconds; and the answer has a line for each line, in order."""
    await ada.put(full("one"))
    await ada.put(record("two"))
    told = {line["label"]: line for line in (await ada.changes(include="records")).json["changes"]}

    two, none, one, again = await get(ada, asked("two"), asked("none"), asked("one"), asked("two"))

    assert one == {**asked("one"), "outcome": "found", **{n: told["one"][n] for n in ("digest", "record")}}
    assert "00.123456" in one["record"]["timestamp"]
    assert two == again
    assert two["digest"] == digest(record("two"))
    assert none == {**asked("none"), "outcome": "absent", "digest": None}


async def test_unreadable_record_is_told_from_none(served: Served, ada: Client) -> None:
    """With the digest that the feed gives, and why."""
    bad = await spoiled(served, ada)

    (line,) = await get(ada, asked("bad"))

    assert line.pop("error")
    assert line == {**asked("bad"), "outcome": "unreadable", "digest": bad}


async def test_what_may_not_be_read_is_forbidden_and_never_absent(served: Served, ada: Client) -> None:
    """A project that does not exist has no records; the others are given all the same."""
    await ada.put(record())
    bob = served.client("bob")
    await bob.make("Bobs")

    lines = await get(bob, asked("run"), asked("none"), asked("x", "Bobs"), asked("x", "Nowhere"))

    assert outcomes(lines) == ["forbidden", "forbidden", "absent", "absent"]
    assert "no right to read" in lines[0]["error"]
    assert outcomes(await get(served.client("reader"), asked("run"))) == ["found"]


async def test_answer_has_a_bound_but_for_its_first_record(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no room is not read, and given later; all is there after a few requests."""
    monkeypatch.setattr(bulk_api, "LARGEST", 50_000)
    for number in range(6):
        size = 200_000 if number == 0 else 20_000
        await ada.put(change(record(f"r{number}"), stdout_stderr="x" * size))
    read: list[Key] = []
    show = ServedDatabase.current_records

    async def spy(self: Any, keys: Any) -> Any:
        read.extend(keys)
        return await show(self, keys)

    monkeypatch.setattr(ServedDatabase, "current_records", spy)
    lines = [asked(f"r{number}") for number in range(6)] + [asked("none")]

    first = await get(ada, *lines)
    assert outcomes(first) == ["found", *["later"] * 5, "absent"]
    assert {key.label for key in read} == {"r0", "none"}
    assert first[1] == {**asked("r1"), "outcome": "later"}
    assert outcomes(await get(ada, *lines[1:6])) == ["found", "found", "later", "later", "later"]
    assert outcomes(await get(ada, lines[5], lines[0])) == ["found", "later"]


async def test_record_that_is_larger_than_it_seemed_is_given_later(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound holds for the bytes of the answer."""
    monkeypatch.setattr(bulk_api, "LARGEST", 50_000)
    for label in ("a", "b"):
        await ada.put(change(record(label), stdout_stderr="\x01" * 8000))

    assert outcomes(await get(ada, asked("a"), asked("b"))) == ["found", "later"]


# What is written


@pytest.mark.parametrize("case", ODD)
async def test_record_is_kept_exactly(ada: Client, case: str) -> None:
    """Written, read, and written again elsewhere, it says the same."""
    given = ODD[case]

    (done,) = await write(ada, wanted(given))
    (line,) = await get(ada, asked("odd"))
    there = form.read(json.dumps(line["record"]).encode(), Key(PROJECT, "odd"))

    assert done == {**asked("odd"), "outcome": "done", "digest": digest(given)}
    assert line["digest"] == digest(given) == f"2-{canonical.digest(there).hex()}"
    assert (there.timestamp, there.output_data) == (given.timestamp, given.output_data)
    copy = {**asked("odd"), "expect": line["digest"], "record": line["record"]}
    assert (await write(ada, copy))[0]["outcome"] == "done"


async def test_record_replaces_all_fields_of_a_finished_run(ada: Client) -> None:
    """Which a PUT of Sumatra's client does not."""
    await ada.put(full("run"))
    other = record("run", main_file="other.py", version="0ff", stdout_stderr="", duration=9.0)

    (done,) = await write(ada, wanted(other, digest(full("run"))))

    assert (done["outcome"], done["digest"]) == ("done", digest(other))
    (line,) = await get(ada, asked("run"))
    assert (line["record"]["main_file"], line["digest"]) == ("other.py", digest(other))


async def test_write_that_is_repeated_is_done_and_is_no_change(ada: Client) -> None:
    """Whatever it expects: a client that lost the answer sends it again."""
    await write(ada, wanted(record()), wanted(record("gone")))
    await write(ada, wanted(None, digest(record("gone")), "gone"))
    before = (await ada.changes()).json["next"]

    lines = await write(ada, wanted(record()), wanted(None, digest(record("gone")), "gone"))

    assert [(line["outcome"], line["digest"]) for line in lines] == [
        ("done", digest(record())),
        ("stale", None),
    ]
    assert (await ada.changes()).json["next"] == before


async def test_stale_write_changes_nothing_and_tells_what_is_there(ada: Client) -> None:
    """Of a record that was changed, that was made, and that was deleted."""
    await ada.put(record("one"))
    edited = commented(record("one"), "mine")

    lines = await write(
        ada,
        wanted(edited, digest(full("one"))),
        wanted(edited),
        wanted(record("two"), digest(record("two"))),
        wanted(None, None, "one"),
        wanted(edited, "1-00ff"),
    )

    assert outcomes(lines) == ["stale", "stale", "stale", "stale", "stale"]
    assert [line["digest"] for line in lines] == [digest(record("one"))] * 2 + [None] + [
        digest(record("one"))
    ] * 2
    assert (await ada.get(f"records/{PROJECT}/one/")).json["outcome"] == ""


async def test_digest_of_a_write_is_of_what_was_read_back(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table keeps something else than was sent, the client is told what."""
    make = RecordRows.change

    async def altering(self: RecordRows, db: DatabaseConnection, changes: Sequence[RowChange]) -> list[int]:
        found = await make(self, db, changes)
        await db.run("UPDATE django_store_record SET reason = 'LOUD'")
        return found

    monkeypatch.setattr(RecordRows, "change", altering)

    (line,) = await write(ada, wanted(record("one")))

    assert line["digest"] == digest(change(record("one"), reason="LOUD"))
    assert (await get(ada, asked("one")))[0]["digest"] == line["digest"]
    assert (await ada.put(record("two"))).etag == f'"{line["digest"]}"'
    assert {one["digest"] for one in (await ada.changes()).json["changes"]} == {line["digest"]}


async def test_record_of_a_job_that_is_taken_back_is_told_to_nobody(tmp_path: Path) -> None:
    """Another job of the same transaction has written the same label."""

    async def put(outcome: str, transaction: WriteTransaction) -> None:
        current = await transaction.current(Key(PROJECT, "run"))
        await transaction.put(current, record(outcome=outcome))
        if outcome == "taken back":
            raise sqlite3.IntegrityError("not this one")

    async with open_database(tmp_path / "records", "records") as database:
        await database.begin()
        await database.transact([lambda transaction: transaction.put_project(PROJECT, ProjectInfo())])
        done = await database.transact([partial(put, "kept"), partial(put, "taken back")])

    assert [row.content.digest for row in done.changes] == [digest(record(outcome="kept"))]
    assert [each.outcome for each in done.records.values()] == ["kept"]


async def test_write_tells_the_number_of_the_last_change(ada: Client) -> None:
    """From which the feed continues without it."""
    await until_status(ada, 200, "api/v1/changes?since=0")  # the first look is over
    reply = await post(ada, WRITE, ndjson(wanted(record("one")), wanted(record("two"))))

    number = int(reply.headers["Smtd-Number"])
    assert number == (await ada.changes()).json["next"]
    assert (await ada.changes(number)).json["changes"] == []


async def test_line_that_is_refused_keeps_no_other_back(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says in a sentence what is wrong."""
    put_all = WriteTransaction.put_all

    async def picky(self: WriteTransaction, puts: Sequence[Put]) -> dict[Key, Content]:
        found = await put_all(self, puts)
        if any(put.record.label == "unloved" for put in puts):
            raise sqlite3.IntegrityError("not this one")
        return found

    monkeypatch.setattr(WriteTransaction, "put_all", picky)
    unfit = record("unfit", repository=Repository("CvsRepository", "/code"))
    few = {**wanted(record("few")), "record": {"reason": "only this"}}

    lines = await write(
        ada,
        wanted(record("one")),
        wanted(record("x"), project="Nowhere"),
        wanted(record("another"), label="label"),
        few,
        wanted(unfit),
        wanted(record("a\tb")),
        wanted(record("unloved")),
        wanted(record("two")),
    )

    assert outcomes(lines) == ["done", *["refused"] * 6, "done"]
    words = ["no project", "its label", "it lacks", "CvsRepository", "address", "not this one"]
    for line, word in zip(lines[1:-1], words, strict=True):
        assert word in line["error"], line
    found = await get(ada, *map(asked, ("one", "two", "unloved", "few", "unfit", "a\tb", "label")))
    assert outcomes(found) == ["found", "found", *["absent"] * 5]


async def test_lines_of_one_key_are_carried_out_in_order(ada: Client) -> None:
    """Each finds what the one before it left."""
    edits = [record()]
    for number in range(5):
        edits.append(commented(edits[-1], str(number)))
    lines = [wanted(after, digest(before)) for before, after in pairwise(edits)]

    done = await write(
        ada, wanted(edits[0]), *lines, wanted(record()), wanted(None, digest(edits[-1]), "run")
    )

    assert outcomes(done) == ["done"] * 6 + ["stale", "done"]
    assert outcomes(await get(ada, asked("run"))) == ["absent"]


async def test_unreadable_record_is_mended(served: Served, ada: Client) -> None:
    """By who knows that it is unreadable, and by nobody else."""
    bad = await spoiled(served, ada)

    assert await write(ada, wanted(record("bad"))) == [{**asked("bad"), "outcome": "stale", "digest": bad}]
    assert outcomes(await write(ada, wanted(record("bad"), bad))) == ["done"]
    (line,) = await get(ada, asked("bad"))
    assert (line["outcome"], line["digest"]) == ("found", digest(record("bad")))
    again = await spoiled(served, ada, "again")
    assert outcomes(await write(ada, wanted(None, again, "again"))) == ["done"]
    assert outcomes(await get(ada, asked("again"))) == ["absent"]


async def test_writes_are_in_the_feed_and_in_the_listing_once_each(served: Served, ada: Client) -> None:
    """As those of a PUT are, with their records, and counted."""
    await write(ada, wanted(record("old")))
    assert len((await ada.get(f"records/{PROJECT}/")).json["records"]) == 1
    before = (await ada.changes()).json["next"]
    many = [wanted(record(f"r{number}")) for number in range(250)]

    lines = await write(ada, *many, wanted(None, digest(record("old")), "old"))

    assert set(outcomes(lines)) == {"done"}
    told = await next_changes(ada, before)
    assert sorted((each["label"], each["digest"]) for each in told if each["digest"]) == sorted(
        (line["label"], line["digest"]) for line in lines[:-1]
    )
    assert [each["label"] for each in told if not each["digest"]] == ["old"]
    assert len((await ada.get(f"records/{PROJECT}/")).json["records"]) == 250
    assert "smtd_server_changes_total 252.0" in (await served.client().get("metrics")).body.decode()
