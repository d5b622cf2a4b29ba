"""Standard output and error that never raise, even if they are full, closed, or have a narrow encoding.

A command does its work before it writes the result. So lost output has an exit code of its own, and never
that of another error. If the reader of a pipe has gone, that is not an error. No slow imports.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import TextIO

#: The exit code if the output could not be written, unless another error has a code above 1.
NOT_WRITTEN = 5


class _Descriptor(io.RawIOBase):
    """Writes to a file descriptor; if a write fails, its data are dropped, and `error` has the reason.

    With *for_good* it writes nothing after that; else it tries each later write.
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
            except BlockingIOError:  # another process has set it so, and will read
                select.select([], [self._descriptor], [])
                return self.write(view)
            except OSError as exc:
                self.error = exc
        return len(view)


_output: _Descriptor | None = None


def install() -> None:
    """Make the two streams never raise, and escape characters that their encoding does not have.

    Streams that are no longer Python's own, as in a test, stay as they are.
    """
    global _output
    while (
        opened := os.open(os.devnull, os.O_RDWR)
    ) <= 2:  # a store must not get the number of a closed stream
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


def terminal_size(descriptor: int) -> os.terminal_size:
    """Return the size of the terminal at *descriptor*, whatever COLUMNS says; 80 by 24 if it has none."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        size = os.terminal_size((0, 0))
    return size if min(size) > 0 else os.terminal_size((80, 24))


def has_unicode() -> bool:
    """Say whether standard output takes more than ASCII: a locale of C or POSIX promises no more."""
    try:
        "\u2713".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    # Python writes UTF-8 in these locales, too, whatever the terminal understands. For LANG=C alone it sets
    # LC_CTYPE to one of these at its start.
    named = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE")
    if named in (None, "", "C.UTF-8", "C.utf8", "UTF-8"):
        named = os.environ.get("LANG") or named
    return named not in ("C", "POSIX")


def is_lost() -> bool:
    """Say whether standard output has failed."""
    return _output is not None and _output.error is not None


def end_with_reader() -> None:
    """From now on, end the process with code 0 when the reader of a pipe at standard output goes away."""

    def wait() -> None:
        poll = select.poll()
        poll.register(1, 0)  # poll reports a hang-up even without a mask
        poll.poll()
        os._exit(0)

    if _output is not None:
        threading.Thread(target=wait, daemon=True).start()


def exit_code(code: int, program: str) -> int:
    """Return the exit code of a command that ends with *code*; report it if the output was lost."""
    sys.stdout.flush()
    error = _output.error if _output is not None else None
    if error is None or isinstance(error, BrokenPipeError):
        return code
    what = f"{program}: the output cannot be written: {error.strerror}"
    print(f"{what}; free some space, or write it elsewhere", file=sys.stderr)
    return code if code > 1 else NOT_WRITTEN
