"""Asks a child process about a pickle, and waits for its answer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TypeVar

import anyio
import msgspec

from smtd.errors import StoreRefused
from smtd.stores.shelf import worker

Answer = TypeVar("Answer", worker.Records, worker.Written, worker.Looked)


async def ask(
    request: worker.Read | worker.Write | worker.Look, expected: type[Answer], *, what: str, shelf: str
) -> Answer:
    """Let a child process answer *request* about *what* is in *shelf*.

    Raises StoreRefused for a pickle that is broken, or asks for more than a real one of its size.
    """
    memory, seconds = worker.limits(_size(request))
    path = [entry for entry in sys.path if entry]
    start = f"import sys; sys.path[:] = {path!r}; from smtd.stores.shelf import worker; worker.main()"
    process = await anyio.run_process(
        [sys.executable, "-S", "-s", "-c", start, str(memory), str(seconds)],
        input=msgspec.msgpack.encode(request),
        check=False,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    where = f"{what} in the shelf {shelf}"
    if process.returncode != 0:
        raise StoreRefused(
            f"{where} cannot be read within {memory >> 20} MiB and {seconds:.1f} s of processor time;"
            " move the shelf aside if it was not written by Sumatra"
        )
    answers = worker.Records | worker.Written | worker.Looked | worker.Failed | worker.Refused
    answer = msgspec.msgpack.decode(process.stdout, type=answers)
    if isinstance(answer, worker.Refused):
        raise StoreRefused(f"the shelf {shelf} cannot be read: {answer.problem}")
    if isinstance(answer, worker.Failed):
        raise StoreRefused(f"{where} cannot be read: {answer.problem}; restore it from a backup")
    assert isinstance(answer, expected)
    return answer


def _environment() -> dict[str, str]:
    """Return nothing of the person's environment but the time zone, which old records are read by.

    A fixed hash seed makes the answers repeatable.
    """
    zone = {name: value for name, value in os.environ.items() if name == "TZ"}
    return {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **zone}


def _size(request: worker.Read | worker.Write | worker.Look) -> int:
    if isinstance(request, worker.Look):
        return sum(map(len, request.pickles))
    asked = len(request.pickle or b"")
    if isinstance(request, worker.Write):
        asked += sum(len(wish.record or b"") for wish in request.wishes)
    return asked
