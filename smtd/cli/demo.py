"""`smtd demo`: the whole idea on sample stores, in a temporary directory."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
import click
import msgspec

from smtd.cli.sync import Request, run
from smtd.records import canonical
from smtd.records.record import Component, Executable, Key, Parameters, Record, Repository
from smtd.stores.base import Change, Store
from smtd.stores.locations import Kind, Location
from smtd.stores.registry import open_store

PROJECT = "Demo"


def run_demo(directory: Path) -> int:
    """Play the demo in *directory* and return the exit code."""
    shelf, database = directory / "laptop.shelf", directory / "lab.sqlite"
    request = Request(str(shelf), str(database), state=directory / "state")

    _say("Three records in a shelf, as Sumatra pickles them; the SQLite store is not there yet.")
    anyio.run(_write, Location(Kind.DUMB, shelf), [_record(number) for number in range(3)])
    code = _sync(request)
    _say("A tag is added in the shelf, an outcome in the database; both travel.")
    anyio.run(_edit, Location(Kind.DUMB, shelf), "demo-0", {"tags": frozenset({"_finished_", "figure-2"})})
    anyio.run(_edit, Location(Kind.DJANGO, database), "demo-1", {"outcome": "converged"})
    code |= _sync(request)
    _say("Both sides tag the same record; the tags are merged.")
    anyio.run(_edit, Location(Kind.DUMB, shelf), "demo-2", {"tags": frozenset({"_finished_", "good"})})
    anyio.run(_edit, Location(Kind.DJANGO, database), "demo-2", {"tags": frozenset({"_finished_", "paper"})})
    code |= _sync(request)
    _say("A record is deleted from the shelf; so it is from the database.")
    anyio.run(_edit, Location(Kind.DUMB, shelf), "demo-0", None)
    code |= _sync(request)
    _say("Nothing has changed; nothing is done.")
    return code | _sync(request)


def main() -> int:
    """Play the demo and clean up."""
    with tempfile.TemporaryDirectory(prefix="smtd-demo-") as directory:
        return run_demo(Path(directory))


def _say(text: str) -> None:
    click.echo(f"\n{text}")


def _sync(request: Request) -> int:
    click.echo(f"$ smtd sync {Path(request.left).name} {Path(request.right or '').name}")
    return run(request, as_json=False)


def _record(number: int) -> Record:
    place = Component("FileSystemDataStore", {"root": "/data"})
    return Record(
        label=f"demo-{number}",
        timestamp=datetime(2026, 1, 1, 12, tzinfo=timezone.utc) + timedelta(minutes=number),
        reason="a first look",
        duration=1.5,
        executable=Executable("/usr/bin/python3", "Python", "3.12.1"),
        repository=Repository("GitRepository", "/code"),
        main_file="simulate.py",
        version="2f1c0de",
        parameters=Parameters("SimpleParameterSet", f"seed = {number}"),
        launch_mode=Component("SerialLaunchMode", {"working_directory": "/code", "options": None}),
        datastore=place,
        input_datastore=place,
        tags=frozenset({"_finished_"}),
        stdout_stderr="done\n",
    )


async def _write(location: Location, records: list[Record]) -> None:
    async with open_store(location) as store:
        await store.write([Change(Key(PROJECT, record.label), record, None) for record in records])


async def _edit(location: Location, label: str, values: Mapping[str, object] | None) -> None:
    """Change some fields of a record, or delete it, as another program would."""
    key = Key(PROJECT, label)
    async with open_store(location) as store:
        before = await _held(store, key)
        after = None if values is None else msgspec.structs.replace(before, **values)
        await store.write([Change(key, after, canonical.digest(before))])


async def _held(store: Store, key: Key) -> Record:
    return (await store.read([key]))[key]
