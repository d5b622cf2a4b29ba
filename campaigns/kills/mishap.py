"""One cycle in a process of its own that something befalls, and that never ends by itself in good order."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import anyio

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.errors import SmtdError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores import retrying
from smtd.stores.base import Store
from smtd.stores.http import session
from smtd.stores.location import Location
from tests.stories.accidents import Accident

#: What the interpreter tells of before it does it: each is a moment at which to be killed.
OPERATIONS = frozenset(
    ("open", "os.rename", "os.remove", "os.truncate", "os.link", "os.mkdir", "sqlite3.connect")
)
#: Seconds within which a cycle of a few records is over, whatever befalls it.
PATIENCE = 180.0
#: The exit codes of a cycle that ended: as it should, or with an error of ours.
WELL, FAILED = 0, 3


@dataclass(frozen=True, slots=True)
class Mishap:
    """What befalls a cycle: *kind*, and *at* which step or operation, or after how many seconds or bytes."""

    kind: str
    at: float = 0.0
    when: str = "before"

    def __str__(self) -> str:
        return f"{self.kind} ({self.when} {self.at:g})"

    @property
    def kills(self) -> bool:
        """Say whether the process is to be killed."""
        return self.kind.startswith("kill")


#: The steps of a cycle and when to be killed at each, and how many file operations it may come to.
STEPS = list(product(range(24), ("before", "during", "after")))
FILES = 40


def chosen(chance: Random, kinds: list[str], usual: float, turns: Iterator[tuple[int, str]]) -> Mishap:
    """Return a mishap of one of *kinds*, where a cycle lasts *usual* seconds; *turns* has the next step."""
    kind = chance.choice(kinds)
    if kind == "kill at a step":
        step, when = next(turns)
        return Mishap(kind, float(step), when)
    at = {
        "kill at a file": float(chance.randrange(FILES)),
        "kill at a moment": chance.uniform(0.0, usual * 1.2),
        "short write": float(chance.choice((0, 1, 100, 4096, 20_000, 40_000)) + chance.randrange(4096)),
        "clock jump": chance.choice((-1, 1)) * chance.choice((2.0, 4000.0, 90_000.0, 40_000_000.0)),
    }
    return Mishap(kind, at.get(kind, 0.0))


def befall(mishap: Mishap, directory: Path, locations: Both[Location], policy: Policy) -> int:
    """Run a cycle in a process that *mishap* befalls.

    Returns how that ended, as `os.waitstatus_to_exitcode`. Raises TimeoutError if it does not end.
    """
    child = os.fork()
    if not child:
        _live(mishap, directory, locations, policy)
    if mishap.kind == "kill at a moment":
        time.sleep(mishap.at)
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            _tell_where(child)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"a cycle of {locations.left} and {locations.right}, {mishap}, did not end")
        time.sleep(0.002)


def _tell_where(child: int) -> None:
    """Let *child* print where its threads and its tasks are; see `_prepare`."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(child, number)
        time.sleep(2.0)


def _print_tasks(*_: object) -> None:
    """Print where each task is, with what it awaits."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
        awaited: Any = task.get_coro()
        while awaited is not None:
            print("   ", getattr(awaited, "__qualname__", awaited), file=sys.stderr)
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    sys.stderr.flush()


def _live(mishap: Mishap, directory: Path, locations: Both[Location], policy: Policy) -> NoReturn:
    """Run the cycle, and end whatever comes."""
    code = 1
    try:
        _prepare(mishap)
        anyio.run(_cycle, mishap, directory, locations, policy)
        code = WELL
    except SmtdError:
        code = FAILED
    except BaseException:  # noqa: BLE001 - whatever it is, this process does not go on as its parent
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(code)


def _prepare(mishap: Mishap) -> None:
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGUSR2, _print_tasks)
    # As patient as on a good line, so that a campaign is a matter of minutes.
    session.SILENCE, session.FIRST_PAUSE, session.LONGEST_PAUSE = 1.0, 0.01, 0.05
    retrying.FIRST_PAUSE, retrying.LONGEST_PAUSE = 0.01, 0.05
    if mishap.kind == "kill at a file":
        _die_at_operation(int(mishap.at))
    elif mishap.kind == "short write":
        # A write that reaches the limit is cut there, and the next one fails.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(mishap.at), int(mishap.at)))
    elif mishap.kind == "clock jump":
        _move_clock(mishap.at)


def _die_at_operation(number: int) -> None:
    left = [number]
    lock = threading.Lock()

    def count(event: str, _words: tuple[Any, ...]) -> None:
        if event in OPERATIONS:
            with lock:
                left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _move_clock(seconds: float) -> None:
    """Let the clock of this process go wrong by *seconds*; no kernel has a clock for one process."""
    now = time.time
    time.time = lambda: now() + seconds
    from smtd.engine import cycle
    from smtd.journal import pair

    class Wrong(cycle.datetime):  # type: ignore[misc, name-defined]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + timedelta(seconds=seconds)

    cycle.datetime = Wrong  # type: ignore[attr-defined]
    pair.datetime = Wrong  # type: ignore[attr-defined]


class _Death(Accident):
    """An accident that ends the process."""

    async def _fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def _cycle(mishap: Mishap, directory: Path, locations: Both[Location], policy: Policy) -> None:
    async with open_journal(directory) as opened, pairing.open_stores(locations) as stores:
        journal: Any = opened
        both: Both[Store] = stores
        if mishap.kind == "kill at a step":
            death = _Death(int(mishap.at), mishap.when, "error")
            journal, both = death.journal(opened), stores.map(death.store)
        await pairing.sync(journal, "pair", locations, both, policy)
