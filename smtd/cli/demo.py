"""`smtd demo`: shows smtd with sample stores and a daemon of its own, in a temporary directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec

from smtd.control.client import ask
from smtd.errors import DaemonNotRunning
from smtd.records import canonical
from smtd.records.record import Component, Executable, Key, Parameters, Record, Repository
from smtd.stores.base import Change, Store
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store

PROJECT = "Demo"
#: The most seconds to wait for a step that should take a moment.
PATIENCE = 30.0


class Demo:
    """Two stores in *directory*, and the daemon that keeps them in sync."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shelf, self.database = (
            find(str(directory / name), may_be_new=True) for name in ("laptop.shelf", "lab.sqlite")
        )
        self._socket = str(directory / "control.sock")
        self._seen = 0

    def play(self) -> int:
        """Run all steps and return the exit code."""
        _say("A shelf has three records, as Sumatra writes them; the SQLite store does not exist yet.")
        anyio.run(_write, self.shelf, [_record(number) for number in range(3)])
        with self._daemon():
            self._wait("Start the daemon; it copies them:")
            _say("Add a tag in the shelf and an outcome in the database; the daemon syncs both.")
            anyio.run(_edit, self.shelf, "demo-0", {"tags": frozenset({"_finished_", "figure-2"})})
            self._wait()
            anyio.run(_edit, self.database, "demo-1", {"outcome": "converged"})
            self._wait()
            _say("Delete a record from the shelf; the daemon deletes it from the database, too.")
            anyio.run(_edit, self.shelf, "demo-2", None)
            self._wait()
            _say("Sync again: nothing to do.")
            code = max(self._ctl("sync", "now"), self._ctl("status"))
            self._ctl("stop")
        return code

    @contextmanager
    def _daemon(self) -> Iterator[None]:
        """Run a daemon that does not use this user's configuration and state."""
        config = self.directory / "config.toml"
        stores = {"laptop": self.shelf, "lab": self.database}
        lines = ['[daemon]\nlog_level = "warning"']
        lines += [f"[stores.{name}]\nlocation = {json.dumps(str(at.path))}" for name, at in stores.items()]
        config.write_text("\n".join([*lines, '[pairs.demo]\nleft = "laptop"\nright = "lab"\n']), "utf-8")
        state = self.directory / "state"
        daemon = subprocess.Popen(
            [sys.executable, "-m", "smtd", "-c", str(config), "run", "--socket", self._socket],
            env={**os.environ, "STATE_DIRECTORY": str(state)},
        )
        try:
            yield
            daemon.wait(PATIENCE)
        finally:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()

    def _wait(self, text: str = "") -> None:
        """Wait until a cycle has written something, and print what."""
        if text:
            _say(text)
        for event in self._events():
            self._seen = event["id"]
            if event["event"] == "synced":
                click.echo(f"  {_summary(event, 'left')}{_summary(event, 'right')}".rstrip())
                return

    def _events(self) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                asked = {"verb": "events", "since": self._seen, "follow": True}
                for answer in ask(self._socket, asked, PATIENCE):
                    yield answer["result"]
            except DaemonNotRunning:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # the daemon is starting

    def _ctl(self, *words: str) -> int:
        click.echo(f"$ smtd-ctl {' '.join(words)}")
        command = [sys.executable, "-m", "smtd.cli.ctl", "--socket", self._socket, *words]
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Run the demo and clean up."""
    with tempfile.TemporaryDirectory(prefix="smtd-demo-") as directory:
        return Demo(Path(directory)).play()


def _say(text: str) -> None:
    click.echo(f"\n{text}")


def _summary(event: Mapping[str, Any], side: str) -> str:
    """Return what a cycle did to one side, as a text (empty: nothing)."""
    done = [f"{count} {what}" for what, count in event[side].items() if count]
    return f"{side}: {', '.join(done)}  " if done else ""


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
