"""dbm.dumb: an index in text (`.dir`), values at offsets (`.dat`), no lock of any kind.

The format is that of CPython's dbm/dumb.py. A process that holds a dumb shelf has read the index
when it opened it, overwrites values in place where they fit, and writes the index when it closes.
So the index on disk may tell an older length than the value has; a value is therefore read to the
end of its last block, and its pickle knows where it ends.
"""

from __future__ import annotations

import ast
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from smtd.signature import NotSettled

BLOCK = 512
Index: TypeAlias = dict[bytes, tuple[int, int]]


class DumbFile:
    """The three files of one dumb shelf."""

    name = "dbm.dumb"
    exclusive_writes = False

    def __init__(self, base: Path) -> None:
        self._dat, self._dir, self._bak = (Path(f"{base}{end}") for end in (".dat", ".dir", ".bak"))
        self.paths = (self._dat, self._dir, self._bak)

    def read(self) -> dict[bytes, bytes]:
        """Return every value by key. Raises NotSettled for files that do not fit together."""
        index = self._index()
        if not index:
            return {}
        with open(self._dat, "rb") as data:
            size = os.fstat(data.fileno()).st_size
            values = {}
            for key, (start, length) in index.items():
                if start + length > size:
                    raise NotSettled("its index points behind the end of its data")
                data.seek(start)
                # The last value in the file has no padding yet; the next one will bring it.
                whole = -(-length // BLOCK) * BLOCK
                values[key] = data.read(whole).ljust(whole, b"\0")
        return values

    def _index(self) -> Index:
        index: Index = {}
        try:
            lines = self._dir.read_text("latin-1").splitlines()
        except FileNotFoundError:
            if self._dat.exists():
                raise NotSettled(
                    f"its index {self._dir.name} is missing (if it stays so, copy {self._bak.name} to it)"
                ) from None
            return {}
        for line in lines:
            try:
                key, (start, length) = ast.literal_eval(line)
                index[key.encode("latin-1")] = (start + 0, length + 0)
            except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError) as exc:
                raise NotSettled(f"its index {self._dir.name} is damaged") from exc
        return index

    def replace(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        """Store *new* under *key* if the value still is *old*; say whether it was stored.

        The new value is appended and only then named in a new index, so that neither a crash
        nor a process that holds the old index ever sees less than a whole value. A lock keeps
        other smtd processes away; Sumatra knows of none.
        """
        if not self._dat.exists() and not self._dir.exists():
            self._dir.touch()  # an empty index first: data without one is a damaged shelf
        with open(self._dat, "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self._index()
            if self.read().get(key) != old:
                return False
            index[key] = (self._append(new), len(new))
            if self.read().get(key) != old:
                return False
            self._write_index(index)
        return True

    def _append(self, value: bytes) -> int:
        """Append *value* at the start of a block and return its offset."""
        handle = os.open(self._dat, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        with os.fdopen(handle, "r+b", buffering=0) as data:
            padding = -os.fstat(handle).st_size % BLOCK
            data.write(bytes(padding) + value)
            start = data.tell() - len(value)
            os.fsync(handle)
            # Another process may have appended or overwritten at the same moment.
            if start % BLOCK or os.pread(handle, len(value), start) != value:
                raise NotSettled("another process wrote at the same time")
        return start

    def _write_index(self, index: Index) -> None:
        lines = (f"{key.decode('latin-1')!r}, {place!r}\n" for key, place in index.items())
        text = "".join(lines).encode("latin-1")
        if self._dir.exists():
            _swap_in(self._bak, lambda path: shutil.copy2(self._dir, path))
        _swap_in(self._dir, lambda path: _copy_mode(self._dat, path.write_bytes(text), path))


def _copy_mode(source: Path, _written: int, path: Path) -> None:
    shutil.copymode(source, path)


def _swap_in(path: Path, write: Callable[[Path], object]) -> None:
    """Replace *path* in one step by what *write* puts into the file that it is given."""
    temporary = path.with_name(f".{path.name}.smtd")
    try:
        write(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
