"""Many writers of many records: who may write, and who wins."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.records.record import Record
from smtd.server import bulk_api
from smtd.server.accounts import users_file
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users_file import Account
from smtd.server.project_rights import ProjectRights
from smtd.server.server_settings import ServerSettings
from smtd.server.writer import Writer
from tests.build import PROJECT, commented, record
from tests.server.bulk import GET, WRITE, asked, digest, get, ndjson, outcomes, post, wanted, write
from tests.server.granting import grant
from tests.server.served import Client, Served, serving
from tests.server.waiting import until_status


async def test_one_of_many_writers_wins_each_round(ada: Client) -> None:
    """All expect the same record; the others are told which one won."""
    before: str | None = None
    for turn in range(4):
        mine = [commented(record(), f"{turn} {number}") for number in range(50)]
        lines: list[Any] = []

        async def one(words: Record, expect: str | None, lines: list[Any]) -> None:
            lines += await write(ada, wanted(words, expect))

        async with anyio.create_task_group() as group:
            for words in mine:
                group.start_soon(one, words, before, lines)

        assert sorted(outcomes(lines)) == ["done"] + ["stale"] * 49
        (before,) = {line["digest"] for line in lines}
        assert before in map(digest, mine)


async def test_one_of_a_bulk_writer_and_an_old_client_wins(ada: Client) -> None:
    """A PUT with the ETag and a line with the same digest: no edit is lost."""
    there = record()
    await ada.put(there)
    for number in range(20):
        left, right = commented(there, f"bulk {number}"), commented(there, f"put {number}")
        said: dict[str, Any] = {}

        async def bulk(line: Any, said: dict[str, Any]) -> None:
            said["bulk"] = (await write(ada, line))[0]["outcome"]

        async def put(one: Record, tag: str, said: dict[str, Any]) -> None:
            said["put"] = (await ada.put(one, If_Match=f'"{tag}"')).status

        jobs = [partial(bulk, wanted(left, digest(there)), said), partial(put, right, digest(there), said)]
        async with anyio.create_task_group() as group:
            for job in jobs if number % 2 else reversed(jobs):
                group.start_soon(job)

        assert said in ({"bulk": "done", "put": 412}, {"bulk": "stale", "put": 200})
        there = left if said["bulk"] == "done" else right
        assert (await get(ada, asked("run")))[0]["digest"] == digest(there)


async def test_rights_count_for_each_line(served: Served, ada: Client) -> None:
    """Of readers and strangers; and no line of theirs changes anything."""
    await ada.put(record())
    lines = [wanted(None, digest(record()), "run"), wanted(record("new"))]

    for name in ("reader", "bob"):
        assert outcomes(await write(served.client(name), *lines)) == ["forbidden"] * 2
    bob = await grant(served, Right.WRITE)

    assert outcomes(await write(bob, *lines)) == ["done", "done"]


async def test_anonymous_reads_where_everybody_may_and_writes_nowhere(served: Served, tmp_path: Path) -> None:
    """They are asked to log in."""
    for path in (GET, WRITE):
        reply = await post(served.client(), path, b"")
        assert (reply.status, "WWW-Authenticate" in reply.headers) == (401, True)
    open_to_all = ServerSettings(tmp_path / "open" / "records", anonymous=Right.READ)
    async with serving(tmp_path / "open", open_to_all) as other:
        await other.ada.make()
        await other.ada.put(record())

        assert outcomes(await get(other.client(), asked("run"))) == ["found"]
        for sent in (ndjson(wanted(record("x"))), b"no line"):
            assert (await post(other.client(), WRITE, sent)).status == 401


@pytest.mark.parametrize("taken", ["right", "login"])
async def test_right_that_is_taken_between_two_transactions(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, taken: str
) -> None:
    """The rest of the lines are forbidden, those before are done."""
    bob = await grant(served, Right.WRITE)
    monkeypatch.setattr(bulk_api, "AT_ONCE", 2)
    submit, count = Writer.submit, 0

    def without_bob(accounts: dict[str, Account]) -> dict[str, Account]:
        return {name: account for name, account in accounts.items() if name != "bob"}

    async def counted(self: Writer, *args: Any, **more: Any) -> Any:
        nonlocal count
        done = await submit(self, *args, **more)
        count += 1
        if count == 1 and taken == "right":
            await to_thread.run_sync(ProjectRights(served.store).set, PROJECT, "bob", Right.NONE)
        elif count == 1:
            await to_thread.run_sync(users_file.edit, tmp_path / "users", without_bob)
            await until_status(bob, 401)
        return done

    monkeypatch.setattr(Writer, "submit", counted)

    lines = await write(bob, *(wanted(record(f"r{number}")) for number in range(6)))

    assert outcomes(lines) == ["done", "done", *["forbidden"] * 4]
    assert outcomes(await get(ada, *map(asked, ("r0", "r1", "r2")))) == ["found", "found", "absent"]
