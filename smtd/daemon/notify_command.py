"""Tell a person by a command of theirs: once, without a shell, and not for long."""

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

from smtd.daemon.delivery import Undelivered
from smtd.daemon.notice import Notice

#: Seconds that the command may take, and its output may come after its end; bytes that are shown of it.
PATIENCE, RATTLE, SHOWN = 30.0, 0.5, 500
#: Bytes of its output that are read at once.
CHUNK = 65_536


async def tell(command: Sequence[str], notice: Notice) -> None:
    """Run *command* with the sentence as its last argument and the notice as JSON on standard input.

    It is killed, with all that it started, when it takes too long or we are cancelled. Raises Undelivered if
    it cannot be run, fails, or is killed.
    """
    said = bytearray()
    # Pipes of our own: asyncio takes a process for running while something it started has its pipes open.
    with _pipe() as (its_input, feed), _pipe() as (hear, its_output):
        try:
            with anyio.CancelScope(shield=True):  # else it could be started, and known to nobody
                process = await anyio.open_process(
                    [*command, notice.message],
                    stdin=its_input,
                    stdout=its_output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it contains a zero byte"
            raise Undelivered(f"the command {command[0]} cannot be run: {why}") from None
        its_input.close()
        its_output.close()
        try:
            with anyio.move_on_after(PATIENCE) as patience:
                await _finished(process, (feed, msgspec.json.encode(notice)), (hear, said))
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
    """Give the reading and the writing end of a pipe, and close what is still open of it."""
    reading, writing = os.pipe()
    with FileIO(reading, "r") as one, FileIO(writing, "w") as other:
        yield one, other


async def _finished(process: Process, input: tuple[FileIO, bytes], output: tuple[FileIO, bytearray]) -> None:
    """Feed the process, keep the end of what it says, and wait for it."""
    async with anyio.create_task_group() as group:
        group.start_soon(_feed, *input)
        group.start_soon(_hear, *output)
        await process.wait()
        # What it left running may keep its output open for ever.
        group.cancel_scope.deadline = anyio.current_time() + RATTLE


async def _feed(pipe: FileIO, data: bytes) -> None:
    os.set_blocking(pipe.fileno(), False)
    with suppress(BrokenPipeError):  # who does not listen need not
        while data:
            await anyio.wait_writable(pipe)
            data = data[os.write(pipe.fileno(), data) :]
    pipe.close()


async def _hear(pipe: FileIO, said: bytearray) -> None:
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
