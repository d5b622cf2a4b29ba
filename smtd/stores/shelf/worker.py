"""The child process that loads pickles for its parent, limited in memory and time.

It reads one request from standard input, writes one answer to standard output, and ends.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from smtd.errors import RecordUnusable, StoreRefused
from smtd.records import canonical
from smtd.records.record import BAD_VALUE, Record, bad_value, decode, encode
from smtd.records.run_status import is_final
from smtd.stores.shelf import forms, inert, reading, writing
from smtd.stores.shelf.messages import (
    Answer,
    Answered,
    Failed,
    One,
    Read,
    RecordEntry,
    Records,
    Refused,
    Request,
    Several,
    WriteOp,
    Written,
    parts,
    received,
)
from smtd.text import encodable

#: Why no record can be written into a shelf with one of Sumatra before 0.8: that Sumatra could not load it.
READ_ONLY = (
    "it was written by Sumatra 0.7 (or older); smtd reads it, but does not write it: sync it into a new store"
)


def limits(size: int) -> tuple[int, float]:
    """Return the limits for pickles of *size* bytes: bytes of memory, and seconds of processor time.

    Real shelves need 15 to 25 times their size, and a quarter of the time (measured on 10,000 records).
    """
    return 440 * 2**20 + 48 * size, 0.7 + size / 500_000


def main() -> None:
    """Answer the one request on standard input; the limits are the two arguments."""
    memory, seconds = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # Processor time, so that no request fails because the machine is busy; the signal ends the process.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The process ends after one request, so collecting and freeing garbage would only cost time.
    gc.disable()
    for part in parts(answer(received(sys.stdin.buffer))):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    os._exit(0)


def answer(request: Request) -> Answer:
    """Return the answer to *request*; every failure is part of the answer."""
    if not isinstance(request, Several):
        return _answer(request)
    answers = []
    for one in request.requests:
        found = _answer(one)
        if isinstance(found, Refused):
            return found
        answers.append(found)
    if _was_short_of_memory():
        return Failed("one of them needs more memory than a real record of its size")
    return Answered(answers)


def _answer(request: One) -> Records | Written | Failed | Refused:
    try:
        project = {} if request.pickle is None else _project(request.pickle)
        found = {label: forms.form(pickled) for label, pickled in project.items()}
        old = forms.oldest(found.values())
        if isinstance(request, Read):
            return Records(_read(project, found, request), old)
        if old:
            return Written(None, [READ_ONLY] * len(request.ops))
        results = [_apply(project, op) for op in request.ops]
        changed = "" in results
        return Written(inert.dump(project) if changed else None, results)
    except StoreRefused as exc:
        return Refused(str(exc))
    except (RecordUnusable, RecursionError, MemoryError) as exc:
        return Failed(_showable(str(exc)) or type(exc).__name__)


def _was_short_of_memory() -> bool:
    """Say whether a pickle may have left too little memory for others, which would then be read wrongly.

    Real pickles never need half of what is allowed. If the peak cannot be read, it may have.
    """
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed == resource.RLIM_INFINITY:
        return False
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            (peak,) = (int(line.split()[1]) for line in file if line.startswith("VmPeak:"))
    except (OSError, ValueError, MemoryError):
        return True
    return peak * 1024 > allowed // 2


def _project(pickle: bytes) -> dict[str, Any]:
    project = inert.load(pickle)
    if forms.form(project) == forms.WITHOUT_PROJECTS:
        raise StoreRefused(
            "it was written by Sumatra 0.1, which had no projects; smtd reads shelves of 0.2 to 0.8"
        )
    if type(project) is not dict or not all(isinstance(label, str) for label in project):
        raise RecordUnusable("it does not hold records by label")
    return project


def _read(project: dict[str, Any], found: dict[str, str], request: Read) -> list[RecordEntry]:
    wanted = project if request.labels is None else project.keys() & set(request.labels)
    mine = list(wanted)[request.share :: request.shares]
    if all(found[label] == forms.CURRENT for label in mine):
        return [_entry(label, project[label]) for label in mine]
    # Imported only now: the modules for time zones take as long to load as a hundred records.
    from smtd.stores.legacy import sources
    from smtd.stores.shelf.upgrade import upgraded

    upgrade = partial(upgraded, zone=sources.zone(request.timezone))
    return [
        _entry(label, project[label], None if found[label] == forms.CURRENT else upgrade) for label in mine
    ]


def _entry(label: str, pickled: Any, upgrade: Callable[[Any], Any] | None = None) -> RecordEntry:
    try:
        record = reading.record(label, pickled if upgrade is None else upgrade(pickled))
        encoded = encode(record)
        decode(encoded)  # if it fails, it fails here, for this record alone
        return RecordEntry(label, canonical.digest(record), encoded, is_final(record))
    except RecordUnusable as exc:
        return RecordEntry(encodable(label), problem=_showable(str(exc)))
    except Exception as exc:  # noqa: BLE001 - a pickle can hold anything
        return RecordEntry(encodable(label), problem=_showable(f"{type(exc).__name__}: {exc}"))


def _showable(text: str) -> str:
    """Return *text* on one line, and with lone surrogates escaped."""
    return " ".join(encodable(text).split())


def _apply(project: dict[str, Any], op: WriteOp) -> str:
    pickled = project.get(op.label)
    try:
        held = None if pickled is None else canonical.digest(reading.record(op.label, pickled))
    except Exception:  # noqa: BLE001 - as above; an unreadable record is not the expected one
        return "stale"
    if held != op.expect:
        return "stale"
    if op.record is None:
        project.pop(op.label, None)
        return ""
    try:
        _put(project, op.label, pickled, decode(op.record))
    except RecordUnusable as exc:
        return str(exc)
    except BAD_VALUE as exc:
        return str(bad_value(exc))
    return ""


def _put(project: dict[str, Any], label: str, pickled: Any, record: Record) -> None:
    if record.label != label:
        raise RecordUnusable(f"its label is {record.label}, not {label}")
    if pickled is None:
        project[label] = writing.build(record)
    else:
        writing.update(pickled, record)
