"""dbm.gnu: the hash table of GNU dbm, whose bytes smtd reads itself.

The format is that of gdbm's src/gdbmdefs.h: a header, a directory of buckets, buckets of elements,
and each element's key and value together at an offset. gdbm writes through a memory map. The kernel
may update the timestamps only when the file is closed, so only its content shows whether it changed.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from smtd import regular
from smtd.filestat import SETTLE, NotSettled, read_settled
from smtd.stores.base import Token
from smtd.stores.shelf import foreign

#: The magic numbers of each layout: of either width, depending on the machine; 32-bit and 64-bit offsets.
_OLD, _NARROW, _WIDE = (0x13579ACE,), (0x13579ACD, 0x13579AD0), (0x13579ACF, 0x13579AD1)
#: The hash value of an element that is not in use.
_UNUSED = 0xFFFFFFFF


class _Layout(NamedTuple):
    """The structures of one width of file offsets, without their byte order."""

    #: directory, its size in bytes, its bits, the size of a bucket, its elements, the end of the file
    header: str
    offset: str
    #: bits of the bucket, and how many of its elements are in use
    bucket: str
    #: hash, start of the key (not needed), place, size of key, size of value
    element: str


_LAYOUTS = {
    8: _Layout("8x Q 4I Q", "Q", "104x 2I", "I 4x Q 2I"),
    4: _Layout("8x I 4I I", "I", "52x 2I", "I 4x I 2I"),
}


class GnuFile(foreign.ForeignFile):
    """The file of one shelf of GNU dbm; smtd never locks it for reading.

    A program that opens it with gdbm locks it while it is open, and fails if it is locked already.
    """

    name = "dbm.gnu"
    exclusive_writes = True  # no other program has it open while it is replaced

    def token(self) -> Token:
        """Return a digest of the content of the file."""
        try:
            return _digest(regular.read(self._path))
        except FileNotFoundError:
            return b"absent"

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        found, *_ = read_settled([self._path], self._settled, what=f"the shelf {self._path}")
        return found

    def _settled(self) -> tuple[dict[bytes, bytes], Token]:
        content = regular.read(self._path)
        values = parse(content)
        time.sleep(SETTLE)
        if regular.read(self._path) != content:
            raise NotSettled("a program keeps writing to it")
        return values, _digest(content)

    def values(self, content: bytes) -> dict[bytes, bytes]:
        return parse(content)


def _digest(content: bytes) -> Token:
    return hashlib.blake2b(content, digest_size=16).digest()


def parse(content: bytes) -> dict[bytes, bytes]:
    """Return all values by key. Raises NotSettled if the content is inconsistent."""
    try:
        order, widths = _layout_hints(content)
        for width in widths:
            if (header := _header(content, order, width)) is not None:
                return dict(_items(content, order, _LAYOUTS[width], *header))
    except (struct.error, OverflowError):
        pass
    raise NotSettled("it is cut off, or its header is damaged")


def _layout_hints(content: bytes) -> tuple[str, tuple[int, ...]]:
    """Return the byte order and the possible widths of offsets, by the magic number."""
    for order in "<>":
        (magic,) = struct.unpack_from(f"{order}I", content)
        for numbers, widths in ((_WIDE, (8,)), (_NARROW, (4,)), (_OLD, (8, 4))):
            if magic in numbers:
                return order, widths
    raise NotSettled("it does not start like a GNU dbm file")


def _header(content: bytes, order: str, width: int) -> tuple[int, int, int, int] | None:
    """Return where the directory is, its bits, and the size and number of elements of a bucket."""
    layout = _LAYOUTS[width]
    directory, size, bits, bucket_size, elements, _ = struct.unpack_from(order + layout.header, content)
    room = struct.calcsize(order + layout.bucket) + elements * struct.calcsize(order + layout.element)
    fits = bits < 32 and size == width << bits and directory + size <= len(content)
    return (directory, bits, bucket_size, elements) if fits and 0 < room <= bucket_size else None


def _items(
    content: bytes, order: str, layout: _Layout, directory: int, bits: int, size: int, elements: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key with its value.

    A bucket with fewer bits than the directory has several entries there, one after the other.
    """
    places = struct.unpack_from(f"{order}{1 << bits}{layout.offset}", content, directory)
    head, element = struct.Struct(order + layout.bucket), struct.Struct(order + layout.element)
    index = 0
    while index < len(places):
        place = places[index]
        bucket_bits, used = head.unpack_from(content, place)
        span = 1 << (bits - bucket_bits) if bucket_bits <= bits else 0
        if not span or index % span or places[index : index + span] != (place,) * span:
            raise NotSettled("its directory does not fit its buckets")
        table = content[place + head.size : place + head.size + elements * element.size]
        if place + size > len(content) or used > elements:
            raise NotSettled("a bucket lies outside of it")
        held = [one for one in element.iter_unpack(table) if one[0] != _UNUSED]
        if len(held) != used or any(one[0] >> (31 - bucket_bits) != index // span for one in held):
            raise NotSettled("a bucket does not hold what it should")
        for _, start, key_size, value_size in held:
            end = start + key_size + value_size
            if end > len(content):
                raise NotSettled("a value lies outside of it")
            yield content[start : start + key_size], content[start + key_size : end]
        index += span
