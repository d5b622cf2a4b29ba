"""Send a request about pickles to a child process, and wait for its answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import anyio
from anyio.abc import ByteSendStream

from smtd.errors import StoreRefused
from smtd.records.record import BAD_BYTES
from smtd.stores.shelf import messages, worker

#: The most bytes that are sent at a time: bytes that wait to be sent are copied.
SENT = 2**16

#: msgspec works without typing_extensions, whose import takes a quarter of the time that a process needs to
#: start.
_START = (
    "import sys; sys.path[:] = {!r}; sys.modules['typing_extensions'] = None\n"
    "from smtd.stores.shelf import worker; worker.main()"
)

Expected = TypeVar("Expected", messages.Records, messages.Written, messages.Answered)


async def ask(request: messages.Request, expected: type[Expected], *, what: str, shelf: str) -> Expected:
    """Return a child process's answer to *request*; messages call the pickle *what* in the shelf *shelf*.

    Raises StoreRefused for a pickle that is broken, or needs more than a real one of its size.
    """
    pieces = messages.pieces(request)
    memory, seconds = worker.limits(sum(map(len, pieces)))
    path = [entry for entry in sys.path if entry]
    argv = [sys.executable, "-S", "-s", "-c", _START.format(path), str(memory), str(seconds)]
    code, answer = await run(argv, pieces)
    where = f"{what} in the shelf {shelf}"
    if code != 0 or answer is None:
        raise StoreRefused(
            f"{where} cannot be read within {memory >> 20} MiB and {seconds:.1f} s of processor time;"
            " move the shelf aside if Sumatra did not write it"
        )
    if isinstance(answer, messages.Refused):
        raise StoreRefused(f"the shelf {shelf} cannot be read: {answer.problem}")
    if isinstance(answer, messages.Failed):
        raise StoreRefused(f"{where} cannot be read: {answer.problem}; restore it from a backup")
    assert isinstance(answer, expected)
    return answer


async def run(argv: Sequence[str], pieces: Sequence[bytes]) -> tuple[int, messages.Answer | None]:
    """Start a process, send it *pieces*, and return its exit code and its answer (None: not complete)."""
    answers = messages.Answers()
    async with (
        await anyio.open_process(argv, stderr=subprocess.DEVNULL, env=_environment()) as process,
        anyio.create_task_group() as group,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        group.start_soon(_feed, process.stdin, pieces)
        try:
            async for part in process.stdout:
                answers.feed(part)
        except BAD_BYTES:
            process.kill()  # nothing in its output can be trusted
        code = await process.wait()
    return code, answers.answer


async def _feed(stdin: ByteSendStream, pieces: Sequence[bytes]) -> None:
    """Send *pieces*, and close the pipe; if the process has ended, its exit code shows why."""
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        for piece in pieces:
            for start in range(0, len(piece), SENT):
                await stdin.send(piece[start : start + SENT])
        await stdin.aclose()


def _environment() -> dict[str, str]:
    """Return the environment of the process: only the user's time zone, in which old records are read.

    A fixed hash seed makes the answers repeatable.
    """
    zone = {name: value for name, value in os.environ.items() if name == "TZ"}
    return {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **zone}
