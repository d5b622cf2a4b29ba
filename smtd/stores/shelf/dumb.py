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
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from smtd import durable, private, regular
from smtd.signature import NotSettled, marked, read_settled, signature
from smtd.stores.base import Token
from smtd.stores.shelf import ownership

BLOCK = 512
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT
#: Offset and length of a value in `.dat`.
Place: TypeAlias = tuple[int, int]
Index: TypeAlias = dict[bytes, Place]


class DumbFile:
    """The three files of one dumb shelf."""

    name = "dbm.dumb"
    exclusive_writes = False  # there is no lock that Sumatra would respect

    def __init__(self, base: Path) -> None:
        self._base = base
        self._dat, self._dir, self._bak = (Path(f"{base}{end}") for end in (".dat", ".dir", ".bak"))
        self._files = (self._dat, self._dir, self._bak)
        self._was_there = False

    def obstacle(self) -> str:
        """Return whom a new index would shut out; every Python can write one."""
        return ownership.obstacle(self._dir)

    def mark(self) -> Token:
        """Return what the files look like from outside."""
        return marked(signature(self._files))

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        """Return every value by key, as of one moment, and the mark of that moment."""
        values, seen, young = read_settled(self._files, self._values, what=f"the shelf {self._base}")
        self._was_there = self._was_there or bool(values)
        return values, marked(seen, young=young, holding=chain(*values.items()))

    def _values(self) -> dict[bytes, bytes]:
        """Return every value by key. Raises NotSettled for files that do not fit together."""
        index = self._index()
        if not self._dat.exists() and not index:
            return {}
        with regular.opened(self._dat) as data:
            size = os.fstat(data.fileno()).st_size
            # If no index ever named anything, a first save is under way, or was cut off.
            named_before = self._was_there or (self._bak.exists() and self._bak.stat().st_size > 0)
            if size and not index and named_before:
                raise NotSettled(f"its index {self._dir.name} is empty, but its data is not")
            return {key: _value(data, place, size) for key, place in index.items()}

    def _index(self) -> Index:
        try:
            lines = regular.read_text(self._dir, "latin-1").splitlines()
        except FileNotFoundError:
            if self._dat.exists() or self._bak.exists() or self._was_there:
                raise NotSettled(
                    f"its index {self._dir.name} is missing (if it stays so, copy {self._bak.name} to it)"
                ) from None
            return {}
        return dict(self._entry(line) for line in lines)

    def _entry(self, line: str) -> tuple[bytes, Place]:
        try:
            key, (start, length) = ast.literal_eval(line)
            name = key.encode("latin-1")
        except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as exc:
            raise NotSettled(f"its index {self._dir.name} is damaged") from exc
        if not (type(start) is type(length) is int and start >= 0 and length >= 0):
            raise NotSettled(f"its index {self._dir.name} is damaged")
        return name, (start, length)

    def create(self) -> None:
        """Make the files of an empty shelf, as `dbm.dumb.open` does, where they are missing."""
        self._dir.touch()  # first: data without an index is a damaged shelf
        self._dat.touch()

    def flush(self) -> None:
        """Make durable what others have written: Sumatra syncs nothing."""
        durable.sync(self._files)

    def replace(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        """Store *new* under *key* if the value still is *old*; say whether it was stored.

        The new value is appended and only then named in a new index, so that neither a crash
        nor a process that holds the old index ever sees less than a whole value. A lock keeps
        other smtd processes away; Sumatra knows of none. What Sumatra adds to the index in the
        meantime is kept.
        """
        if not any(path.exists() for path in self._files):
            self._dir.touch()  # first: data without an index is a damaged shelf
        if self._values().get(key) != old:
            return False
        with regular.opened(self._dat, _APPENDING) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            place = self._index().get(key)
            start = self._append(new)
            if place is None:
                durable.sync([self._dat])  # a new file, it may be, and its name is not durable yet
            index = self._index()
            if index.get(key) != place or self._held(place) != old:
                return False
            index[key] = (start, len(new))
            self._write_index(index)
        return True

    def _held(self, place: Place | None) -> bytes | None:
        if place is None:
            return None
        with regular.opened(self._dat) as data:
            return _value(data, place, os.fstat(data.fileno()).st_size)

    def _append(self, value: bytes) -> int:
        """Append *value* at the start of a block and return its offset."""
        with regular.opened(self._dat, _APPENDING) as data:
            handle = data.fileno()
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
            _swap_in(self._bak, regular.read(self._dir), like=self._dir)
        _swap_in(self._dir, text, like=self._dir if self._dir.exists() else self._dat)


def _value(data: BinaryIO, place: Place, size: int) -> bytes:
    """Read a value to the end of its last block, where it may have grown in place."""
    start, length = place
    if start + length > size:
        raise NotSettled("its index points behind the end of its data")
    data.seek(start)
    # The last value in the file has no padding yet; the next one will bring it.
    whole = -(-length // BLOCK) * BLOCK
    return data.read(whole).ljust(whole, b"\0")


def _swap_in(path: Path, content: bytes, *, like: Path) -> None:
    """Replace *path* in one step by a file that holds *content*, for those who may use the file *like*."""
    temporary = path.with_name(f".{path.name}.smtd")
    temporary.unlink(missing_ok=True)  # a process that was killed left it
    try:
        with os.fdopen(private.create(temporary), "wb") as file:
            file.write(content)
            ownership.copy(like, temporary)
        durable.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
