"""`smtd demo`: plays real commands on sample stores and a daemon of its own, in a temporary directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from smtd.cli import demo_records
from smtd.cli.demo_records import PROJECT, edit
from smtd.cli.shell_words import command
from smtd.control.client import ask, result
from smtd.errors import DaemonNotRunning
from smtd.stores.discovery import find

#: The most seconds to wait for a step that should take a moment.
PATIENCE = 30.0

Event = dict[str, Any]
_NEXT = """
What next:
  smtd mirror TARGET               in a project directory: keeps it in sync with a server or a database
  smtd serve                       offers records to others: a server for your lab
  smtd sync LEFT RIGHT --dry-run   shows what a sync of two stores of yours would do
  smtd sync LEFT RIGHT             syncs them once
  smtd check                       checks ~/.config/smtd/config.toml (config.example.toml has all keys)
  smtd run                         keeps the stores of that file in sync
  smtd --help                      lists all commands
"""


class Demo:
    """Two stores in *directory*, and the daemon that keeps them in sync."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shelf, self.database = (
            find(str(directory / name), may_be_new=True) for name in ("laptop.shelf", "lab.sqlite")
        )
        self._socket = str(directory / "control.sock")
        self._variables = {
            **os.environ,
            "SMTD_CONFIG": str(directory / "config.toml"),
            "SMTD_SOCKET": self._socket,
        }
        self._seen = 0

    def play(self) -> int:
        """Run all steps and return the exit code."""
        self._configure()
        demo_records.fill(self.shelf)
        _say("A project on a laptop has three records, in a shelf as Sumatra writes it:")
        self._run("list", "laptop.shelf")
        with self._daemon():
            self._edits()
            self._undo()
            self._conflict()
            _say("Both stores have the same records. Sync again: nothing to do.")
            code = max(self._run("sync", "now"), self._run("status"))
            if _has_person():
                _say("Look around in the page: History can undo each step. Press Enter to end the demo.")
                sys.stdin.readline()
            self._run("stop")
        click.echo(_NEXT, nl=False)
        return code

    def _edits(self) -> None:
        self._wait(_wrote)
        self._run("status")
        if _has_person():
            _say("A page in your browser shows it live, and what follows:")
            self._run("web")
        _say("demo-0 gets a tag on the laptop, and demo-1 an outcome in the lab. The daemon carries both:")
        edit(self.shelf, "demo-0", {"tags": frozenset({"_finished_", "figure-2"})})
        self._wait(_wrote)
        edit(self.database, "demo-1", {"outcome": "converged"})
        self._wait(_wrote)
        self._run("history")

    def _undo(self) -> None:
        _say("demo-2 is deleted from the laptop. The daemon deletes it in the lab, too:")
        edit(self.shelf, "demo-2", None)
        self._wait(_wrote)
        self._run("list", "lab.sqlite")
        _say("That was a mistake. All that smtd wrote can be undone:")
        self._run("undo", str(self._last_cycle()))
        _say("The lab has demo-2 again, the laptop has not. smtd does not guess which is right:")
        self._run("sync", "now")
        self._run("resolve", "--take", "right", "demo", PROJECT, "demo-2")

    def _conflict(self) -> None:
        _say("While the pair is paused, demo-1 is run again on both sides, each with another version:")
        self._run("pause", "demo")
        edit(self.shelf, "demo-1", {"version": "7c0ffee"})
        edit(self.database, "demo-1", {"version": "0ddba11"})
        self._run("resume", "demo")
        self._wait(lambda event: event["event"] == "synced" and event["conflicts"] == 1)
        self._run("conflicts")
        _say("No rule can decide that. You do; the history keeps the other record:")
        self._run("resolve", "--take", "left", "demo", PROJECT, "demo-1")

    def _configure(self) -> None:
        """Write a configuration that has nothing to do with this user's."""
        stores = {"laptop": self.shelf, "lab": self.database}
        lines = [
            f'[daemon]\nlog_level = "error"\nstate_dir = {json.dumps(str(self.directory / "state"))}',
            *(f"[stores.{name}]\nlocation = {json.dumps(str(at.path))}" for name, at in stores.items()),
            '[pairs.demo]\nleft = "laptop"\nright = "lab"\n',
        ]
        (self.directory / "config.toml").write_text("\n\n".join(lines), "utf-8")

    @contextmanager
    def _daemon(self) -> Iterator[None]:
        """Run the daemon for the length of a `with` block, which stops it."""
        _say("A daemon keeps it in sync with an SQLite store in a lab, which it creates:")
        click.echo("$ smtd run &")
        daemon = subprocess.Popen(
            [sys.executable, "-m", "smtd", "run"], env=self._variables, cwd=self.directory
        )
        try:
            yield
            daemon.wait(PATIENCE)
        finally:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()

    def _wait(self, fits: Callable[[Event], bool]) -> None:
        """Wait for an event that *fits*, after the last one."""
        for event in self._events():
            self._seen = event["id"]
            if fits(event):
                return

    def _events(self) -> Iterator[Event]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                asked = {"verb": "events", "since": self._seen, "follow": True}
                yield from ask(self._socket, asked, PATIENCE)
            except DaemonNotRunning:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # the daemon is starting

    def _last_cycle(self) -> int:
        found = result(self._socket, {"verb": "history", "limit": 1}, PATIENCE)
        return int(found["history"][0]["cycle"])

    def _run(self, *words: str) -> int:
        """Run a command as a user would type it, and return its exit code."""
        click.echo(f"$ {command('smtd', *words)}")
        line = [sys.executable, "-m", "smtd", *words]
        return subprocess.run(line, check=False, env=self._variables, cwd=self.directory).returncode


def main(*, keep: bool) -> int:
    """Play the demo; remove its directory unless it is to be kept."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    directory = Path(tempfile.mkdtemp(prefix="smtd-demo-"))
    try:
        code = Demo(directory).play()
        if keep:
            click.echo(f"\nThe stores, the configuration and the journal are kept in {directory}; to go on:")
            click.echo(f"  cd {directory}")
            click.echo("  export SMTD_CONFIG=$PWD/config.toml SMTD_SOCKET=$PWD/control.sock; smtd run &")
        return code
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _has_person() -> bool:
    """Say whether somebody watches the demo, who can open a page and end it."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _say(text: str) -> None:
    click.echo(f"\n{text}")


def _wrote(event: Event) -> bool:
    """Say whether *event* is of a cycle that wrote."""
    return event["event"] == "synced" and any(
        count for side in ("left", "right") for count in event[side].values()
    )
