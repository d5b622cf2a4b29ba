"""`smtd check`: is the configuration right, and is every store there? All at once."""

from __future__ import annotations

from pathlib import Path

import anyio

from smtd.records.record import Key
from smtd.stores.base import Change
from smtd.stores.locations import Kind, Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, full
from tests.command import Answer, Smtd
from tests.peers.server import PASSWORD, SumatraServer


def put(path: Path, label: str) -> None:
    """Write a record into the SQLite store at *path*."""

    async def write() -> None:
        async with open_store(Location(Kind.DJANGO, path)) as store:
            await store.write([Change(Key(PROJECT, label), full(label), None)])

    anyio.run(write)


def checked(smtd: Smtd, text: str) -> Answer:
    """Return what `smtd check` says of the configuration *text*, which nobody else can read."""
    config = smtd.directory / "config.toml"
    config.touch(0o600)
    config.write_text(text, "utf-8")
    return smtd("-c", config, "check")


def test_each_store_is_reached_and_told(smtd: Smtd, tmp_path: Path, server: SumatraServer) -> None:
    """What it holds, or that the first sync makes it."""
    put(tmp_path / "left.sqlite", "run")
    server.make_project("Mine")

    answer = checked(
        smtd,
        f"""
        [stores.left]
        location = "{tmp_path}/left.sqlite"
        [stores.new]
        location = "{tmp_path}/new.sqlite"
        [stores.lab]
        location = "{server.url}"
        username = "ada"
        password = "{PASSWORD}"
        [pairs.one]
        left = "left"
        right = "new"
        """,
    )

    lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert lines[0] == f"left         {tmp_path}/left.sqlite  1 records of {PROJECT}"
    assert lines[1] == f"new          {tmp_path}/new.sqlite  not there yet; the first sync makes it"
    assert lines[2] == f"lab          {server.url}  Mine"
    assert lines[3] == "3 stores, 1 pairs: all is well"
    assert not (tmp_path / "new.sqlite").exists()


def test_all_stores_that_cannot_be_reached_are_told_at_once(
    smtd: Smtd, tmp_path: Path, server: SumatraServer
) -> None:
    """With the name of each, and what to do; the others are told as well."""
    put(tmp_path / "left.sqlite", "run")
    (tmp_path / "broken").write_bytes(b"neither a shelf nor a database")

    answer = checked(
        smtd,
        f"""
        [stores.left]
        location = "{tmp_path}/left.sqlite"
        [stores.same]
        location = "{tmp_path}/../{tmp_path.name}/left.sqlite"
        [stores.broken]
        location = "{tmp_path}/broken"
        [stores.away]
        location = "{tmp_path}/away/store.sqlite"
        [stores.lab]
        location = "{server.url}"
        username = "ada"
        password = "mistaken"
        [pairs.one]
        left = "left"
        right = "same"
        """,
    )

    assert answer.code == 4
    assert answer.out.splitlines()[0].startswith("left ")
    told = answer.err.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == [
        "store broken",
        "store away",
        "pair one",
    ]
    assert "is no record store" in told[0]
    assert "there is no directory" in told[1]
    assert "is the store on both sides; name two" in told[2]
    assert "a wrong name or password looks the same" in answer.out
    assert "mistaken" not in answer.err


def test_mistakes_of_the_configuration_come_before_any_store(smtd: Smtd) -> None:
    """All of them, each with its line; and no store is asked."""
    answer = checked(
        smtd, '[stores.lab]\nlocation = "https://lab.invalid/"\npoll = "3s"\n[pairs.one]\nleft = "la"\n'
    )

    assert (answer.code, answer.out) == (2, "")
    assert [line.split(":", 2)[1:] for line in answer.err.splitlines()][1:] == [
        ["4", " pairs.one: it needs a right"],
        ["5", " pairs.one.left: there is no store 'la', did you mean 'lab'?"],
    ]
