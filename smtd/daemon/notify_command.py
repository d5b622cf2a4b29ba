"""Deliver a notification through a command of the user: once, without a shell, for a limited time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from subprocess import STDOUT

import anyio
import msgspec
from anyio.abc import Process

from smtd import denied
from smtd.daemon.notice import Notice, Undelivered

#: Seconds that the command may take, and for which its output is read after its end; bytes shown of it.
PATIENCE, DRAIN_TIMEOUT, SHOWN = 30.0, 0.5, 500
#: Bytes of the output to read at once.
CHUNK = 65_536


async def deliver(command: Sequence[str], notice: Notice) -> None:
    """Run *command* with the sentence as its last argument and the notice as JSON on standard input.

    The command is killed, with all that it started, when it takes too long or the caller is cancelled. Raises
    Undelivered if it cannot be run, fails, or is killed.
    """
    said = bytearray()
    # Own pipes: asyncio considers a process running while something that it started has its pipes open.
    with _pipe() as (its_input, feed), _pipe() as (its_reader, its_output):
        try:
            with anyio.CancelScope(shield=True):  # else it could be started without being tracked
                process = await anyio.open_process(
                    [*command, notice.message],
                    stdin=its_input,
                    stdout=its_output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
        except (OSError, ValueError) as exc:
            why = denied.unrun(exc) if isinstance(exc, OSError) else "it contains a zero byte"
            raise Undelivered(f"the command {command[0]} cannot be run: {why}") from None
        its_input.close()
        its_output.close()
        try:
            with anyio.move_on_after(PATIENCE) as patience:
                await _finished(process, (feed, msgspec.json.encode(notice)), (its_reader, said))
        finally:
            with anyio.CancelScope(shield=True):
                await _killed(process)
    if patience.cancelled_caught:
        raise Undelivered(f"the command {command[0]} timed out after {PATIENCE:.0f} s and was killed")
    if process.returncode:
        words = said.decode("utf-8", "replace").split()
        tail = f": {' '.join(words)}" if words else ""
        raise Undelivered(f"the command {command[0]} failed with code {process.returncode}{tail}")


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Yield the reading and the writing end of a pipe, and close both afterwards."""
    reading, writing = os.pipe()
    with FileIO(reading, "r") as one, FileIO(writing, "w") as other:
        yield one, other


async def _finished(process: Process, input: tuple[FileIO, bytes], output: tuple[FileIO, bytearray]) -> None:
    """Feed the process, keep the end of its output, and wait for it."""
    async with anyio.create_task_group() as group:
        group.start_soon(_feed, *input)
        group.start_soon(_read_output, *output)
        await process.wait()
        # Processes that it left running may keep its output open forever.
        group.cancel_scope.deadline = anyio.current_time() + DRAIN_TIMEOUT


async def _feed(pipe: FileIO, data: bytes) -> None:
    os.set_blocking(pipe.fileno(), False)
    with suppress(BrokenPipeError):  # the command need not read its input
        while data:
            await anyio.wait_writable(pipe)
            data = data[os.write(pipe.fileno(), data) :]
    pipe.close()


async def _read_output(pipe: FileIO, said: bytearray) -> None:
    os.set_blocking(pipe.fileno(), False)
    while True:
        await anyio.wait_readable(pipe)
        if not (more := os.read(pipe.fileno(), CHUNK)):
            return
        said += more
        del said[:-SHOWN]


async def _killed(process: Process) -> None:
    """End the process, with its children if it is still there."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()
