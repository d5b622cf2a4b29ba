"""dbm.dumb: an index in text (`.dir`), values at offsets (`.dat`), no lock of any kind.

The format is that of CPython's dbm/dumb.py. A process reads the index when it opens a dumb shelf,
overwrites values in place where they fit, and writes the index when it closes the shelf. So the index on
disk may have an older length of a value. smtd therefore reads a value to the end of its last block: a
pickle has its own end in it.
"""

from __future__ import annotations

import ast
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from smtd import durable, private, regular
from smtd.errors import StoreUnreachable
from smtd.filestat import NotSettled, read_settled, signature, status_token
from smtd.stores import file_trial
from smtd.stores.base import Token
from smtd.stores.shelf import ownership
from smtd.stores.shelf.contents import Swap, unchanged

BLOCK = 512
#: Seconds to wait for another smtd that writes to the same shelf.
PATIENCE = 10.0
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT
_AT_ONCE = "another process wrote at the same time"
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

    def read_only_reason(self) -> str:
        """Return which users could not use a new index (empty: none); every Python can write one."""
        return ownership.lost_access(self._dir)

    def token(self) -> Token:
        """Return a token made of the status of the files."""
        return status_token(signature(self._files))

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        values, seen, young = read_settled(self._files, self._values, what=f"the shelf {self._base}")
        self._was_there = self._was_there or bool(values)
        return values, status_token(seen, young=young, holding=chain(*values.items()))

    def _values(self) -> dict[bytes, bytes]:
        """Return all values by key. Raises NotSettled if the files are inconsistent."""
        index = self._index()
        if not self._dat.exists() and not index:
            return {}
        with regular.opened(self._dat) as data:
            size = os.fstat(data.fileno()).st_size
            # If no index ever had an entry, the first save is still running, or was interrupted.
            named_before = self._was_there or (self._bak.exists() and self._bak.stat().st_size > 0)
            if size and not index and named_before:
                raise NotSettled(f"its index {self._dir.name} is empty, but its data is not")
            return {key: _value(data, place, size) for key, place in index.items()}

    def _index(self) -> Index:
        try:
            return self._parsed(regular.read(self._dir))
        except FileNotFoundError:
            if self._dat.exists() or self._bak.exists() or self._was_there:
                raise NotSettled(
                    f"its index {self._dir.name} is missing (if this persists, copy {self._bak.name} to it)"
                ) from None
            return {}

    def _parsed(self, content: bytes) -> Index:
        return dict(self._entry(line) for line in content.decode("latin-1").splitlines())

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
        """Create the files of an empty shelf that are missing, as `dbm.dumb.open` does."""
        self._dir.touch()  # first: data without an index is a damaged shelf
        self._dat.touch()

    def flush(self) -> None:
        """Make durable what other programs have written: Sumatra syncs nothing."""
        durable.sync(self._files)

    def try_write(self) -> str:
        """Try the permissions and the lock of smtd."""
        name = f"the shelf {self._base}"
        file_trial.to_file(self._dat, name)
        for file in self._files:
            file_trial.in_directory(file, name)
        if self._dat.exists():
            with regular.opened(self._dat, os.O_RDWR | os.O_APPEND) as lock:
                self._lock(lock)
        return ""

    def replace(self, swaps: Mapping[bytes, Swap]) -> set[bytes]:
        """Make the *swaps* whose keys still have their old values; return those keys.

        The new values are appended first, and only then entered in a new index. So a process that has the old
        index, or reads after a crash, always finds whole values. A lock keeps other smtd processes out;
        Sumatra uses no lock. What Sumatra adds to the index during the write is kept.
        """
        if not any(path.exists() for path in self._files):
            self._dir.touch()  # first: data without an index is a damaged shelf
        wanted = unchanged(swaps, self._values())
        if not wanted:
            return set()
        try:
            with regular.opened(self._dat, _APPENDING) as lock:
                self._lock(lock)
                return self._store(wanted)
        except FileNotFoundError:  # between two steps of a save there is no index
            raise NotSettled(_AT_ONCE) from None

    def _store(self, wanted: Mapping[bytes, Swap]) -> set[bytes]:
        """Append the *wanted* values; enter those whose old values are still there in a new index."""
        before = self._index()
        places = self._append({key: swap.new for key, swap in wanted.items()})
        if not wanted.keys() <= before.keys():
            durable.sync([self._dat])  # the file may be new, and its name not durable yet
        content = regular.read(self._dir)
        index = self._parsed(content)
        same = {key: place for key, place in before.items() if key in wanted and index.get(key) == place}
        new = wanted.keys() - before.keys() - index.keys()
        done = unchanged({key: wanted[key] for key in same.keys() | new}, self._held(same))
        if done:
            ours = {key: places[key] for key in done}

            def check() -> None:
                # The index last, since that is quick: entries that others add to it after that are lost.
                if not self._is_unchanged(done, same, ours) or regular.read(self._dir) != content:
                    raise NotSettled(_AT_ONCE)

            self._write_index(index | ours, content, check)
        return set(done)

    def _is_unchanged(self, swaps: Mapping[bytes, Swap], theirs: Index, ours: Index) -> bool:
        """Say whether the old values are still at their places *theirs*, and the new ones at *ours*."""
        there, new = self._held(theirs), self._held(ours)
        return all(
            there.get(key) == swap.old and new[key].startswith(swap.new) for key, swap in swaps.items()
        )

    def _lock(self, lock: BinaryIO) -> None:
        """Lock the shelf against other smtd processes. Raises StoreUnreachable if one keeps the lock."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnreachable(
                        f"another program (a second smtd?) has locked {self._dat} for {PATIENCE:.0f} s;"
                        " writes wait until it releases the lock"
                    ) from None
            time.sleep(0.02)

    def _held(self, index: Index) -> dict[bytes, bytes]:
        """Return the values that the data file has at the places in *index*."""
        with regular.opened(self._dat) as data:
            size = os.fstat(data.fileno()).st_size
            return {key: _value(data, place, size) for key, place in index.items()}

    def _append(self, values: Mapping[bytes, bytes]) -> Index:
        """Append *values*, each at the start of a block, and return where they are."""
        places, content = {}, bytearray()
        for key, value in values.items():
            content += bytes(-len(content) % BLOCK)  # the last value has no padding yet
            places[key] = (len(content), len(value))
            content += value
        with regular.opened(self._dat, _APPENDING) as data:
            handle = data.fileno()
            padding = -os.fstat(handle).st_size % BLOCK
            data.write(bytes(padding) + content)
            start = data.tell() - len(content)
            os.fsync(handle)
            # Another process may have appended or overwritten at the same moment.
            if start % BLOCK or os.pread(handle, len(content), start) != content:
                raise NotSettled(_AT_ONCE)
        return {key: (start + offset, size) for key, (offset, size) in places.items()}

    def _write_index(self, index: Index, before: bytes, check: Callable[[], None]) -> None:
        """Replace the index, whose content was *before*; see `_swap_in` for *check*.

        What another program writes to the index between the check and the swap is lost, so everything that
        takes time is done before the check.
        """
        lines = (f"{key.decode('latin-1')!r}, {place!r}\n" for key, place in index.items())
        text = "".join(lines).encode("latin-1")
        _swap_in(self._bak, before, like=self._dir)
        _swap_in(self._dir, text, like=self._dir, check=check)


def _value(data: BinaryIO, place: Place, size: int) -> bytes:
    """Read a value to the end of its last block: it may have grown in place."""
    start, length = place
    if start + length > size:
        raise NotSettled("its index points beyond the end of its data")
    data.seek(start)
    # The last value in the file has no padding until the next one is appended.
    whole = -(-length // BLOCK) * BLOCK
    return data.read(whole).ljust(whole, b"\0")


def _swap_in(path: Path, content: bytes, *, like: Path, check: Callable[[], None] = lambda: None) -> None:
    """Replace *path* in one step by a file with *content*, for the same users as the file *like*.

    *check* is called directly before; if it raises an error, *path* stays as it is. A symbolic link stays
    one, and the file that it leads to is replaced: programs may use that by its own name.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.smtd")
    temporary.unlink(missing_ok=True)  # a process that was killed left it
    try:
        with os.fdopen(private.create(temporary), "wb") as file:
            file.write(content)
            ownership.copy(like, temporary)
            file.flush()
            os.fsync(file.fileno())
        check()
        durable.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
