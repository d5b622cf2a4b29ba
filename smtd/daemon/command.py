"""Tell a person by a command of theirs: once, without a shell, and not for long."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from subprocess import PIPE, STDOUT

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

from smtd.daemon.delivery import Undelivered
from smtd.daemon.notice import Notice

#: Seconds that the command may take, and its output may come after its end; bytes that are shown of it.
PATIENCE, RATTLE, SHOWN = 30.0, 0.5, 500

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


async def tell(command: Sequence[str], notice: Notice) -> None:
    """Run *command* with the sentence as its last argument and the notice as JSON on standard input.

    It is killed, with all that it started, when it takes too long or we are cancelled. Raises Undelivered if
    it cannot be run, fails, or is killed.
    """
    try:
        with anyio.CancelScope(shield=True):  # else it could be started, and known to nobody
            process = await anyio.open_process(
                [*command, notice.message], stdin=PIPE, stdout=PIPE, stderr=STDOUT, start_new_session=True
            )
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it holds a zero byte"
        raise Undelivered(f"the command {command[0]} cannot be run: {why}") from None
    said = bytearray()
    try:
        with anyio.move_on_after(PATIENCE) as patience:
            await _finished(process, msgspec.json.encode(notice), said)
    finally:
        with anyio.CancelScope(shield=True):
            await _killed(process)
    if patience.cancelled_caught:
        raise Undelivered(f"the command {command[0]} took more than {PATIENCE:.0f} s, and was ended")
    if process.returncode:
        words = said.decode("utf-8", "replace").split()
        tail = f": {' '.join(words)}" if words else ""
        raise Undelivered(f"the command {command[0]} failed with code {process.returncode}{tail}")


async def _finished(process: Process, data: bytes, said: bytearray) -> None:
    """Feed the process, keep the end of what it says, and wait for it."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with anyio.create_task_group() as group:
        group.start_soon(_feed, process.stdin, data)
        group.start_soon(_hear, process.stdout, said)
        await process.wait()
        # What it left running may keep its output open for ever.
        group.cancel_scope.deadline = anyio.current_time() + RATTLE


async def _feed(stream: ByteSendStream, data: bytes) -> None:
    with contextlib.suppress(*_GONE, OSError):  # who does not listen need not
        await stream.send(data)
        await stream.aclose()


async def _hear(stream: ByteReceiveStream, said: bytearray) -> None:
    with contextlib.suppress(*_GONE):
        while True:
            said += await stream.receive()
            del said[:-SHOWN]


async def _killed(process: Process) -> None:
    """End the process, with its children if it is still there."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()
