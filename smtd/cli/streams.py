"""Standard output and error that never raise, whatever they are: full, closed, or of a narrow encoding.

What was asked for is done before its result is written. So an output that is lost has an exit code of its
own, and never that of something else; a reader that has gone has seen enough. Nothing heavy is imported.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import TextIO

#: The exit code if the output could not be written, and nothing else went wrong that has a higher one than 1.
NOT_WRITTEN = 5


class _Descriptor(io.RawIOBase):
    """Writes to a file descriptor; what cannot be written is dropped, and `error` says why.

    With *for_good* nothing more is written after that; else the next write is tried.
    """

    def __init__(self, descriptor: int, *, for_good: bool) -> None:
        self._descriptor = descriptor
        self._for_good = for_good
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self.error is None or not self._for_good:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:  # somebody else has made it so, and will read
                select.select([], [self._descriptor], [])
                return self.write(view)
            except OSError as exc:
                self.error = exc
        return len(view)


_output: _Descriptor | None = None


def install() -> None:
    """Let the two streams never raise, and show what their encoding does not have by its number.

    Streams that are no longer Python's own, as in a test, are left as they are.
    """
    global _output
    while (
        opened := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # one that is closed wants nothing, and is no store's
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stdout is sys.__stdout__:
        _output = _Descriptor(1, for_good=True)
        sys.stdout = _wrapped(sys.stdout, _output)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _wrapped(sys.stderr, _Descriptor(2, for_good=False), line_buffering=True)


def _wrapped(stream: TextIO | None, descriptor: _Descriptor, *, line_buffering: bool = False) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace",
        line_buffering=line_buffering or descriptor.isatty(),
    )


def is_lost() -> bool:
    """Say whether nothing that is written to standard output arrives any more."""
    return _output is not None and _output.error is not None


def end_with_reader() -> None:
    """End the process, with code 0, when the reader of a pipe at standard output goes away while it waits."""

    def wait() -> None:
        poll = select.poll()
        poll.register(1, 0)  # poll reports a hang-up even without a mask
        poll.poll()
        os._exit(0)

    if _output is not None:
        threading.Thread(target=wait, daemon=True).start()


def ended(code: int, program: str) -> int:
    """Return the exit code of a command that ends with *code*; say so if its output was lost."""
    sys.stdout.flush()
    error = _output.error if _output is not None else None
    if error is None or isinstance(error, BrokenPipeError):
        return code
    what = f"{program}: the output cannot be written: {error.strerror}"
    print(f"{what}; free some space, or write it elsewhere", file=sys.stderr)
    return code if code > 1 else NOT_WRITTEN
