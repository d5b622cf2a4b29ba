"""The child process that loads pickles: limited in memory and time, and fed by its parent.

It reads one request from standard input, writes one answer to standard output, and ends. Neither
ever holds an object of a pickle: only canonical records, encoded.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from typing import Any

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.life import is_final
from smtd.records.record import Record, decode, encode
from smtd.stores.shelf import inert, reading, writing


class Read(msgspec.Struct, tag=True):
    """Ask for the records in the pickle of one project, or only those of *labels*.

    Of all those, only every *shares*-th, from number *share* on: the others are for other processes.
    """

    pickle: bytes
    labels: list[str] | None = None
    share: int = 0
    shares: int = 1


class Wish(msgspec.Struct):
    """Make *label* hold *record* (None: nothing) if it has the digest *expect*."""

    label: str
    record: bytes | None
    expect: bytes | None


class Write(msgspec.Struct, tag=True):
    """Ask for a new pickle of the project (None: there is none yet) with *wishes* fulfilled."""

    pickle: bytes | None
    wishes: list[Wish]


class Held(msgspec.Struct):
    """One record in the pickle, encoded; or what is wrong with it."""

    label: str
    digest: bytes = b""
    record: bytes = b""
    final: bool = True
    problem: str = ""


class Records(msgspec.Struct, tag=True):
    """Answers Read."""

    held: list[Held]


class Written(msgspec.Struct, tag=True):
    """Answers Write: *results* holds "" for done, "stale", or why the record was refused."""

    pickle: bytes | None
    results: list[str]


class Failed(msgspec.Struct, tag=True):
    """Answers a request whose pickle cannot be loaded."""

    problem: str


def limits(pickle_size: int) -> tuple[int, int]:
    """Return how many bytes of memory and seconds of processor a pickle may cost.

    Real shelves need 15 to 25 times their size (measured on 10,000 records).
    """
    return 512 * 2**20 + 48 * pickle_size, 10 + pickle_size // 200_000


def main() -> None:
    """Answer the one request on standard input; the limits are the two arguments."""
    memory, seconds = map(int, sys.argv[1:3])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # One request and then the end: collecting garbage, and freeing it, is time for nothing.
    gc.disable()
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Read | Write)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer(request)))
    sys.stdout.buffer.flush()
    os._exit(0)


def answer(request: Read | Write) -> Records | Written | Failed:
    """Do what *request* asks; every failure is part of the answer."""
    try:
        project = {} if request.pickle is None else _project(request.pickle)
        if isinstance(request, Read):
            wanted = project if request.labels is None else project.keys() & set(request.labels)
            mine = list(wanted)[request.share :: request.shares]
            return Records([_held(label, project[label]) for label in mine])
        results = [_fulfil(project, wish) for wish in request.wishes]
        changed = "" in results
        return Written(inert.dump(project) if changed else None, results)
    except (RecordUnusable, RecursionError, MemoryError) as exc:
        return Failed(_showable(str(exc)) or type(exc).__name__)


def _project(pickle: bytes) -> dict[str, Any]:
    project = inert.load(pickle)
    if type(project) is not dict or not all(isinstance(label, str) for label in project):
        raise RecordUnusable("it does not hold records by label")
    return project


def _held(label: str, pickled: Any) -> Held:
    try:
        record = reading.record(label, pickled)
        return Held(label, canonical.digest(record), encode(record), is_final(record))
    except RecordUnusable as exc:
        return Held(_showable(label), problem=_showable(str(exc)))
    except Exception as exc:  # noqa: BLE001 - it is made of whatever somebody pickled
        return Held(_showable(label), problem=_showable(f"{type(exc).__name__}: {exc}"))


def _showable(text: str) -> str:
    """Return *text* on one line and in Unicode."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _fulfil(project: dict[str, Any], wish: Wish) -> str:
    pickled = project.get(wish.label)
    try:
        held = None if pickled is None else canonical.digest(reading.record(wish.label, pickled))
    except Exception:  # noqa: BLE001 - as above: it cannot be read, so it is not what was expected
        return "stale"
    if held != wish.expect:
        return "stale"
    if wish.record is None:
        project.pop(wish.label, None)
        return ""
    try:
        _put(project, pickled, decode(wish.record))
    except RecordUnusable as exc:
        return str(exc)
    return ""


def _put(project: dict[str, Any], pickled: Any, record: Record) -> None:
    if pickled is None:
        project[record.label] = writing.build(record)
    else:
        writing.update(pickled, record)
