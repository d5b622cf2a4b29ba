"""The sample records of `smtd demo`, and their edits as another program would make them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import anyio
import msgspec

from smtd.records import canonical
from smtd.records.record import Component, Executable, Key, Parameters, Record, Repository
from smtd.stores.base import Change, Store
from smtd.stores.location import Location
from smtd.stores.registry import open_store

PROJECT = "Demo"


def fill(location: Location) -> None:
    """Write the three sample records into the new store at *location*."""
    anyio.run(_write, location, [_record(number) for number in range(3)])


def edit(location: Location, label: str, values: Mapping[str, object] | None) -> None:
    """Change some fields of a record, or delete it (None)."""
    anyio.run(_edit, location, label, values)


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
    key = Key(PROJECT, label)
    async with open_store(location) as store:
        before = await _held(store, key)
        after = None if values is None else msgspec.structs.replace(before, **values)
        await store.write([Change(key, after, canonical.digest(before))])


async def _held(store: Store, key: Key) -> Record:
    return (await store.read([key]))[key]
