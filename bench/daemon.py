"""A running daemon to measure: how far a mirror lags, and what it costs while nothing happens."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench.measure import Command, CommandFailed, cpu_seconds
from bench.workplace import PROJECT, SERVICE, Workplace, count_records
from tests.peers.environments import HERE

#: Seconds after which a daemon that does not answer has failed.
PATIENCE = 120.0
SCRIPTS = HERE / "scripts"


class RunningDaemon:
    """`smtd run` in *directory*, with *configuration*; or another command that is given by *words*."""

    def __init__(self, work: Workplace, directory: Path, configuration: str, *words: str) -> None:
        self._work = work
        self._directory = directory
        (directory / "config.toml").write_text(configuration, "utf-8")
        self._notify_socket = _listening(directory / "notify.sock")
        self._env = {
            **SERVICE,
            "NOTIFY_SOCKET": str(directory / "notify.sock"),
            "SMTD_SOCKET": str(directory / "control.sock"),
            "SMTD_CONFIG": str(directory / "config.toml"),
            "XDG_STATE_HOME": str(directory / "state"),
        }
        command = work.smtd(*(words or ("run",)))
        began = time.perf_counter()
        self.process = subprocess.Popen(
            list(map(str, command.argv)), cwd=directory, env={**command.env, **self._env}
        )
        self._until_ready()
        #: Seconds until it told systemd that it is ready.
        self.start = time.perf_counter() - began

    def _until_ready(self) -> None:
        """Wait as systemd does. Raises CommandFailed if it does not get ready in time."""
        self._notify_socket.settimeout(PATIENCE)
        try:
            while b"READY=1" not in self._notify_socket.recv(4096).splitlines():
                pass
        except TimeoutError:
            self.process.kill()
            raise CommandFailed(f"smtd run was not ready within {PATIENCE:.0f} s") from None
        self._notify_socket.close()  # and more that it tells is lost, as without systemd

    def command(self, *words: str) -> Command:
        """Return a command of `smtd-ctl`."""
        smtd = self._work.smtd()
        return Command(
            [Path(smtd.argv[0]).with_name("smtd-ctl"), *words], smtd.cwd, {**smtd.env, **self._env}
        )

    def ctl(self, *words: str) -> str:
        """Run `smtd-ctl`, and return what it printed. Raises CommandFailed if the daemon does not answer."""
        command = self.command(*words)
        argv = list(map(str, command.argv))
        done = subprocess.run(argv, env=command.env, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise CommandFailed(f"smtd-ctl {' '.join(words)}: {done.stderr}")
        return done.stdout

    def cpu_seconds(self) -> float:
        """Return the processor time that it and its children have used so far."""
        return cpu_seconds(self.process.pid)

    def memory(self) -> int:
        """Return its resident memory, in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End it, and wait for that."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


def _listening(path: Path) -> socket.socket:
    """Return a socket at *path* that is told what a service tells systemd."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path.unlink(missing_ok=True)  # of one that ran here before
    made.bind(str(path))
    return made


@contextmanager
def running(
    work: Workplace, name: str, pairs: list[tuple[Path, Path]], *more: str
) -> Iterator[RunningDaemon]:
    """Give a daemon that keeps *pairs*, after the first cycle of each; *more* are lines for each pair."""
    lines = []
    for number, (left, right) in enumerate(pairs):
        for side, path in (("left", left), ("right", right)):
            lines += [f"[stores.{side}-{number}]", f'location = "{path}"']
        lines += [f"[pairs.pair-{number}]", f'left = "left-{number}"', f'right = "right-{number}"', *more]
    daemon = RunningDaemon(work, work.empty(name), "\n".join(lines))
    try:
        daemon.ctl("sync", "now")
        yield daemon
    finally:
        daemon.stop()


def save_times(work: Workplace, store: Path, saves: int, restless: Path | None = None) -> list[float]:
    """Let real Sumatra save into *store* again and again; return the seconds that each save took.

    Meanwhile a record of *restless*, if there is one, is changed at every moment.
    """
    script = str(SCRIPTS / "time_saves.py")
    argv = work.sumatra.command("python", script, "--django", store, PROJECT, "saved", f"--count={saves}")
    with subprocess.Popen(
        list(map(str, argv)), env=work.sumatra.variables(), stdout=subprocess.PIPE, text=True
    ) as sumatra:
        assert sumatra.stdout
        sumatra.stdout.readline()
        if restless is not None:
            _edit_until_end(restless, sumatra)
        found = sumatra.stdout.read()
    if sumatra.returncode:
        raise CommandFailed(f"a save by Sumatra failed: {found}")
    return list(map(float, json.loads(found)))


def _edit_until_end(store: Path, process: subprocess.Popen[str]) -> None:
    """Change one record of *store* after the other, as fast as it lets us, until *process* ends."""
    with closing(sqlite3.connect(store, timeout=30, isolation_level=None)) as db:
        ids = [number for (number,) in db.execute("SELECT rowid FROM django_store_record")]
        for turn in itertools.count():
            values = (f"edit {turn}", ids[turn % len(ids)])
            db.execute("UPDATE django_store_record SET outcome = ? WHERE rowid = ?", values)
            time.sleep(0.005)
            if process.poll() is not None:
                return


def lags(left: Path, right: Path, changes: int) -> list[float]:
    """Change one record in *left* after the other; return the seconds until each is so in *right*."""
    found = []
    labels = [f"{number}" for number in range(changes)]
    with (
        closing(sqlite3.connect(left, timeout=10)) as here,
        closing(sqlite3.connect(right, timeout=10)) as there,
    ):
        ids = [number for (number,) in here.execute("SELECT rowid FROM django_store_record")]
        for turn, label in enumerate(labels):
            number = ids[turn % len(ids)]
            here.execute("UPDATE django_store_record SET outcome = ? WHERE rowid = ?", (label, number))
            here.commit()
            began = time.perf_counter()
            while not there.execute(
                "SELECT 1 FROM django_store_record WHERE outcome = ?", (label,)
            ).fetchone():
                if time.perf_counter() - began > PATIENCE:
                    raise CommandFailed(f"change {label} never arrived")
                time.sleep(0.002)
            found.append(time.perf_counter() - began)
            # Out of step with the daemon, as people are.
            time.sleep(0.05 + 0.13 * (turn % 7) / 7)
    if count_records(left) != count_records(right):
        raise CommandFailed("the stores hold different numbers of records")
    return found


def lags_to_all(left: Path, rights: Sequence[Path], changes: int) -> list[float]:
    """Change one record in *left* after the other; return the seconds until each is so in all *rights*."""
    found = []
    arrived = "SELECT count(*) FROM django_store_record WHERE outcome = ?"
    with ExitStack() as stack:
        here, *there = [
            stack.enter_context(closing(sqlite3.connect(path, timeout=30))) for path in (left, *rights)
        ]
        ids = [number for (number,) in here.execute("SELECT rowid FROM django_store_record")]
        for turn in range(changes):
            change = (f"hub {turn}", ids[turn % len(ids)])
            here.execute("UPDATE django_store_record SET outcome = ? WHERE rowid = ?", change)
            here.commit()
            began, waiting = time.perf_counter(), list(there)
            while waiting:
                if time.perf_counter() - began > PATIENCE:
                    raise CommandFailed(f"change {turn} never arrived in {len(waiting)} stores")
                time.sleep(0.005)
                waiting = [db for db in waiting if db.execute(arrived, change[:1]).fetchone() == (0,)]
            found.append(time.perf_counter() - began)
            time.sleep(0.5 + 0.13 * (turn % 7) / 7)  # out of step with the daemon, as people are
    return found


def lags_at(left: Path, right: Path, rate: int, duration: int) -> list[float]:
    """Change *rate* records a second in *left*; return the seconds until each change is in *right*, too.

    That goes on for *duration* seconds, and each change is of another record.
    """
    made: list[float] = []
    found: dict[int, float] = {}
    total = rate * duration
    arrived = "SELECT outcome FROM django_store_record WHERE outcome LIKE 'change %'"
    with (
        closing(sqlite3.connect(left, timeout=10, isolation_level=None)) as here,
        closing(sqlite3.connect(right, timeout=10, isolation_level=None)) as there,
    ):
        ids = [number for (number,) in here.execute("SELECT rowid FROM django_store_record")][:total]
        began = time.perf_counter()
        while len(found) < total:
            if time.perf_counter() - began > duration + PATIENCE:
                raise CommandFailed(f"{total - len(found)} changes never arrived")
            while len(made) < total and time.perf_counter() - began >= len(made) / rate:
                change = (f"change {len(made)}", ids[len(made)])
                here.execute("UPDATE django_store_record SET outcome = ? WHERE rowid = ?", change)
                made.append(time.perf_counter())
            numbers = {int(outcome.split()[1]) for (outcome,) in there.execute(arrived).fetchall()}
            now = time.perf_counter()
            found |= {number: now - made[number] for number in numbers - found.keys()}
            time.sleep(0.002)
    return list(found.values())
