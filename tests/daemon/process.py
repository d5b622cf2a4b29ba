"""A real daemon process, and `smtd-ctl` as a user or a script runs it."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.command import Answer, Smtd
from tests.forkserver import client
from tests.forkserver.client import Process

Event = dict[str, Any]
#: Seconds after which a test gives up; what it waits for should take less than one.
PATIENCE = 60.0


class DaemonProcess:
    """`smtd run` with the configuration *text*, and its own state directory."""

    def __init__(self, directory: Path, text: str = "") -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.config.write_text(text, "utf-8")
        self.log = directory / "daemon.log"
        self.smtd = Smtd(directory)
        # A socket's path must be short.
        self._short = Path(f"/tmp/smtd-{os.getpid()}-{id(self):x}")
        self._short.mkdir(mode=0o700)
        self.socket = self._short / "control.sock"
        self.smtd.more["SMTD_SOCKET"] = str(self.socket)
        self.told: list[str] = []
        #: The arguments of `smtd`.
        self.verb = ["run"]
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self._short / "notify"))
        self._process: Process | None = None

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.smtd.home / "smtd"

    def variables(self, **more: str) -> dict[str, str]:
        """Return the environment of its commands."""
        return {**self.smtd.variables(), **more}

    def start(self, *, ready: bool = True, **environment: str) -> None:
        """Start the daemon; with *ready* wait until it reports readiness to systemd."""
        notify = {"NOTIFY_SOCKET": str(self._short / "notify")}
        while select.select([self._notify], [], [], 0)[0]:
            self._notify.recv(4096)  # of a process that was killed before it could be waited for
        with self.log.open("ab") as log:
            self._process = client.start(
                [*self.smtd.program, "-c", str(self.config), *self.verb],
                self.directory,
                self.variables(**notify, **environment),
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
        if ready:
            self.wait_told("READY=1")

    def wait_told(self, line: str) -> None:
        """Wait until the daemon has sent systemd *line* once more than before."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"it ended:\n{self.log.read_text('utf-8')}")
            if select.select([self._notify], [], [], 0.1)[0]:
                lines = self._notify.recv(4096).decode().splitlines()
                self.told += lines
                if line in lines:
                    return
        raise AssertionError(f"it never told {line}, but {self.told}:\n{self.log.read_text('utf-8')}")

    def signal(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def allow_files(self, more: int) -> None:
        """Let the daemon open only *more* files than it has open now."""
        limit = self.files() + more
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, limit))

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    def memory(self) -> int:
        """Return the resident memory of the process, in bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def files(self) -> int:
        """Return how many files and sockets the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for the end of the process; return the exit code."""
        assert self._process is not None
        return self._process.wait(within)

    def stop(self) -> None:
        """Stop the daemon with SIGTERM."""
        assert self.ctl("stop").code == 0
        assert self.ended() == 0

    def restart(self) -> None:
        """Stop the daemon, and start it again."""
        self.stop()
        self.start()

    def ask(self, request: bytes) -> dict[str, Any]:
        """Send one line to the control socket, and return the answer."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.socket))
            asked.sendall(request + b"\n")
            with asked.makefile("rb") as answers:
                return dict(json.loads(answers.readline()))

    def start_ctl(self, *words: str | Path) -> Process:
        """Start `smtd-ctl` with *words*; its standard output is a pipe, read line by line."""
        return client.start(["-m", "smtd.cli.ctl", *map(str, words)], self.directory, self.variables())

    def ctl(self, *words: str | Path) -> Answer:
        """Run `smtd-ctl` with *words*."""
        program = ["-m", "smtd.cli.ctl"]
        done = client.run([*program, *map(str, words)], self.directory, self.variables(), PATIENCE)
        return Answer(done.returncode, done.stdout, done.stderr)

    def sync(self, *words: str | Path) -> dict[str, Any]:
        """Run `smtd-ctl sync now --json`, and return the report of the one pair."""
        return self.ctl("sync", "now", "--json", *words).pair

    def status(self, name: str = "pair") -> dict[str, Any]:
        """Return the status of a pair."""
        (pair,) = self.ctl("status", "--json", name).json["pairs"]
        return dict(pair)

    def events(self, *words: str) -> list[Event]:
        """Return all events so far."""
        return [json.loads(line) for line in self.ctl("events", *words).out.splitlines()]

    def wait_event(self, fits: Callable[[Event], bool], after: int = 0) -> Event:
        """Follow the events after number *after* until one matches, and return it."""
        follower = self.start_ctl("events", "--follow", "--since", str(after))
        seen = []
        deadline = time.monotonic() + PATIENCE
        try:
            assert follower.stdout
            while select.select([follower.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                line = follower.stdout.readline()
                if not line:
                    break
                seen.append(json.loads(line))
                if fits(seen[-1]):
                    return dict(seen[-1])
        finally:
            follower.kill()
            follower.communicate()
        raise AssertionError(f"no event fits: {seen}\n{self.log.read_text('utf-8')}")

    def close(self) -> None:
        """End the process, whatever its state, and clean up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._notify.close()
        for file in self._short.iterdir():
            if file.is_dir():  # a daemon was killed while it made its socket
                shutil.rmtree(file)
            else:
                file.unlink()
        self._short.rmdir()

    def mode(self) -> str:
        """Return the mode of the control socket, as ls shows it."""
        return stat.filemode(self.socket.stat().st_mode)


@contextmanager
def daemon_process(directory: Path, text: str, *, start: bool = True) -> Iterator[DaemonProcess]:
    """Yield a daemon with the configuration *text*, by default started."""
    made = DaemonProcess(directory, text)
    try:
        if start:
            made.start()
        yield made
    finally:
        made.close()


def pair_of(left: str | Path, right: str | Path, **more: str) -> str:
    """Return a configuration with one pair, called pair."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(
        [
            "[stores.left]",
            f"location = {json.dumps(str(left))}",
            "[stores.right]",
            f"location = {json.dumps(str(right))}",
            "[pairs.pair]",
            'left = "left"',
            'right = "right"',
            *lines,
            "",
        ]
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until *is_so* returns true, calling it repeatedly, for half of the time at most."""
    began = time.monotonic()
    deadline = began + PATIENCE
    while not is_so():
        time.sleep(max(0.005, time.monotonic() - began))
        began = time.monotonic()
        assert began < deadline, "it never was so"


def synced(event: Event) -> bool:
    """Say whether an event is of a cycle that did something."""
    return bool(event["event"] == "synced")
