"""Dbm files for which this Python may have no module: smtd swaps in a changed copy.

The module of the backend never opens the file itself, only a copy, in a separate process. So a crash of that
process or of smtd leaves a whole file, and no program is locked out in the meantime.
"""

from __future__ import annotations

import fcntl
import glob
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from smtd import durable, regular
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.filestat import NotSettled
from smtd.stores import file_trial
from smtd.stores.shelf import open_files, ownership
from smtd.stores.shelf.contents import Swap, unchanged

#: The most seconds that the module may take for one write.
TIMEOUT = 60.0
#: Seconds to wait for programs that opened the old file at the moment of the swap.
CLOSE_TIMEOUT = 2.0
#: A copy older than this was left by an smtd that was killed. Seconds.
STALE_AFTER = 600.0

_NO_MODULE = 3
#: Runs on Python 2.7 and 3, without the user's environment.
_WRITE = """
import sys
kind, path = sys.argv[1:3]
try:
    if kind == "dbm.gnu":
        try:
            import dbm.gnu as module
        except ImportError:
            import gdbm as module
    elif sys.version_info[0] == 2:
        import dbm as module
    else:
        import dbm.ndbm as module
except ImportError:
    sys.exit(3)
if path:
    stream = getattr(sys.stdin, "buffer", sys.stdin)
    if kind == "dbm.ndbm":
        path = path[:-3]  # the module adds ".db"
    file = module.open(path, "w")
    sizes = stream.readline().split()
    while sizes:
        key = stream.read(int(sizes[0]))
        file[key] = stream.read(int(sizes[1]))
        sizes = stream.readline().split()
    file.close()
"""


class ForeignFile(ABC):
    """A file of one backend; *python* is the interpreter that has its module (None: this one)."""

    name = ""
    exclusive_writes = False

    def __init__(self, path: Path, python: str | None) -> None:
        self._path = path
        self._python = sys.executable if python is None else python

    @abstractmethod
    def values(self, content: bytes) -> dict[bytes, bytes]:
        """Return the values in a file with this content. Raises NotSettled if it is inconsistent."""

    def read_only_reason(self) -> str:
        """Return why it cannot be written here, as a sentence with the next step (empty: it can)."""
        if not open_files.is_supported():
            return f"it is a {self.name}, and this machine does not show which programs have it open"
        return ownership.lost_access(self._path) or _missing_module(self.name, self._python)

    def replace(self, swaps: Mapping[bytes, Swap]) -> set[bytes]:
        """Make the *swaps* whose keys still have their old values, all in one copy; return those keys.

        Raises StoreRefused if no interpreter can write it, StoreUnreachable while another program
        has it open, NotSettled if a program wrote at the same moment.
        """
        if reason := self.read_only_reason():
            raise StoreRefused(f"the shelf {self._path} cannot be written: {reason}")
        path = Path(os.path.realpath(self._path))
        content = regular.read(path)
        values = self.values(content)
        new = {key: swap.new for key, swap in unchanged(swaps, values).items()}
        if not new:
            return set()
        with _copy(path, content) as copy:
            self._store(copy, new)
            if self.values(regular.read(copy)) != values | new:
                raise StoreRefused(f"{self._python} did not write the shelf {path} correctly")
            ownership.copy(path, copy)
            durable.sync([copy])
            self._swap(path, content, copy)
        return set(new)

    def try_write(self) -> str:
        """Try the permissions, and whether another program has the file open."""
        file_trial.in_directory(self._path, f"the shelf {self._path}")
        if open_files.is_open_elsewhere(os.stat(self._path)):
            return "another program (smt run?) has it open now: writes wait until that program ends"
        return ""

    def flush(self) -> None:
        durable.sync([self._path])

    def _store(self, copy: Path, values: Mapping[bytes, bytes]) -> None:
        given = b"".join(b"%d %d\n%b%b" % (len(key), len(new), key, new) for key, new in values.items())
        done = _run(self._python, self.name, str(copy), given)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise StoreRefused(f"{self._python} cannot write the shelf {self._path}: {said}")

    def _swap(self, path: Path, content: bytes, copy: Path) -> None:
        """Replace *path* by *copy* if no other program has it open, and it still has *content*."""
        with regular.opened(path) as file:
            self._lock(file)
            if not _is(file, path) or file.read() != content:
                raise NotSettled("another program wrote at the same time")
            before = copy.with_name(f"{copy.name}.before")
            os.link(path, before)
            try:
                os.replace(copy, path)
                if self.exclusive_writes:
                    # If a program opened the old file just now, the lock makes it fail.
                    _wait_until_closed(file)
                elif not _is_unchanged(file, content) and not open_files.is_open_elsewhere(path.stat()):
                    os.replace(before, path)
                    raise NotSettled("another program opened it at the same time")
            finally:
                before.unlink(missing_ok=True)
            durable.sync([path])

    def _lock(self, file: BinaryIO) -> None:
        """Lock *file*, as gdbm does, too. Raises StoreUnreachable if another program has it open."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            locked = False
        if locked and self.exclusive_writes:
            return
        if open_files.is_open_elsewhere(os.fstat(file.fileno())):
            raise StoreUnreachable(
                f"the shelf {self._path} is open in another program (smt run?); writes wait until that"
                " program ends"
            )
        if not locked:
            raise NotSettled("another task of smtd is writing it")


def _wait_until_closed(file: BinaryIO) -> None:
    """Wait, but not for long, until no other program has *file* open: one may only be reading it."""
    deadline = time.monotonic() + CLOSE_TIMEOUT
    while open_files.is_open_elsewhere(os.fstat(file.fileno())) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_unchanged(file: BinaryIO, content: bytes) -> bool:
    """Say whether no other program has *file* open, and its content is still *content*."""
    file.seek(0)
    return not open_files.is_open_elsewhere(os.fstat(file.fileno())) and file.read() == content


@contextmanager
def _copy(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a copy beside *path*, with a name that every module accepts, and remove it at the end."""
    ending = ".smtd.db"
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{ending}*"):
        with suppress(FileNotFoundError):  # another writer has just removed it
            if time.time() - left.stat().st_mtime > STALE_AFTER:
                left.unlink()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=ending)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _is(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


#: The modules that interpreters are known to have. A missing one may be installed, or mounted, at any time.
_usable: set[tuple[str, str]] = set()


def _missing_module(name: str, python: str) -> str:
    if (name, python) in _usable:
        return ""
    done = _run(python, name, "", b"")
    if done.returncode == 0:
        _usable.add((name, python))
        return ""
    if done.returncode == _NO_MODULE:
        lacks = f"it is a {name}, and {python} has no module {name}"
    else:
        lacks = f"it is a {name}, and {python} does not run"
    return (
        f"{lacks}; name the interpreter whose Sumatra uses it in the store's section of the"
        ' configuration: python = "/usr/bin/python3"'
    )


def _run(python: str, name: str, path: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    """Have an interpreter write to a file; it imports nothing from the current directory."""
    command = [python, "-E", "-s", "-c", _WRITE, name, path]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, check=False, cwd="/", timeout=TIMEOUT, env={}
        )
    except OSError as exc:
        return subprocess.CompletedProcess(command, 127, b"", (exc.strerror or str(exc)).encode())
    except subprocess.TimeoutExpired:
        raise StoreUnreachable(f"{python} has not answered within {TIMEOUT:.0f} s; try again") from None
