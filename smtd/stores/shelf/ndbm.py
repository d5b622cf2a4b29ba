"""dbm.ndbm by Berkeley DB (Debian, Fedora): a hash table in pages, whose bytes smtd reads itself.

The format is that of Berkeley DB's src/dbinc/db_page.h, hash versions 8 to 10: page 0 says how many
buckets there are and where; a bucket is a chain of pages, each with an index of its items; an item
too large for a page is a chain of overflow pages. A program keeps what it writes in a cache until it closes
the file, and there is no lock of any kind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain

from smtd import regular
from smtd.errors import StoreRefused
from smtd.filestat import NotSettled, read_settled, signature, status_token
from smtd.stores.base import Token
from smtd.stores.shelf import foreign, open_files

MAGIC = 0x061561
_VERSIONS = (8, 9, 10)
#: Kinds of pages.
_NEVER_USED, _HASH_UNSORTED, _OVERFLOW, _META, _HASH = 0, 2, 7, 8, 13
#: Kinds of items.
_KEYDATA, _OFFPAGE = 1, 3
#: number (after 8 bytes), previous page, next page, items, length of an overflow, level, kind
_PAGE = "8x 3I 2H 2B"
_HEAD = struct.calcsize(f"<{_PAGE}")
#: magic, version, size of a page, kind (after a byte)
_META_PAGE = "12x 3I x B"
#: the last bucket (after 72 bytes)
_LAST_BUCKET = "72x I"
_SPARES = "96x 32I"
#: The least size of the cache of a program that has the file open, in bytes. Of a smaller file nothing
#: leaves the cache before the program closes the file, so the content of the file is from one moment.
CACHE = 256 * 1024


class NdbmFile(foreign.ForeignFile):
    """The file of one shelf of Berkeley DB."""

    name = "dbm.ndbm"
    exclusive_writes = False  # there is no lock that Sumatra would respect

    def token(self) -> Token:
        """Return a token made of the status of the file."""
        return status_token(signature([self._path]))

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        values, seen, young = read_settled([self._path], self._settled, what=f"the shelf {self._path}")
        return values, status_token(seen, young=young, holding=chain(*values.items()))

    def _settled(self) -> dict[bytes, bytes]:
        content = regular.read(self._path)
        if len(content) > CACHE and open_files.is_open_elsewhere(self._path.stat()):
            raise NotSettled("another program has it open and holds back a part of its writes")
        return self.values(content)

    def values(self, content: bytes) -> dict[bytes, bytes]:
        try:
            return parse(content)
        except UnknownForm as exc:
            raise StoreRefused(f"the shelf {self._path} cannot be read: {exc}") from None


class UnknownForm(Exception):
    """The file has a format that smtd does not know."""


def parse(content: bytes) -> dict[bytes, bytes]:
    """Return all values by key. Raises NotSettled if the content is inconsistent, UnknownForm."""
    try:
        return dict(_Pages(content).items())
    except struct.error:
        raise NotSettled("it is cut off") from None


class _Pages:
    """The pages of one file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._order = next((order for order in "<>" if self._field(order, 0) == MAGIC), "")
        if not self._order:
            raise NotSettled("it does not start like a Berkeley DB file")
        self._size: int
        _, version, self._size, kind = struct.unpack_from(self._order + _META_PAGE, content)
        if kind != _META or version not in _VERSIONS:
            raise UnknownForm("it is not a hash table of Berkeley DB 4 to 18; rewrite it with another dbm")
        if not 512 <= self._size <= 65536 or self._size & (self._size - 1):
            raise NotSettled("its first page is damaged")
        self._seen = {0}

    def _field(self, order: str, number: int) -> int:
        value: int = struct.unpack_from(order + _META_PAGE, self._content)[number]
        return value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each key with its value."""
        (last,) = struct.unpack_from(self._order + _LAST_BUCKET, self._content)
        spares = struct.unpack_from(self._order + _SPARES, self._content)
        if last >= len(self._content):
            raise NotSettled("its first page is damaged")
        for bucket in range(last + 1):
            previous, number = 0, bucket + spares[bucket.bit_length()]
            while number:
                previous, number, found = self._bucket_page(previous, number)
                yield from found

    def _bucket_page(self, previous: int, number: int) -> tuple[int, int, list[tuple[bytes, bytes]]]:
        """Return the number of a page and of the next one in its chain, and its items."""
        start = self._start(number)
        own, before, after, count, _, _, kind = struct.unpack_from(self._order + _PAGE, self._content, start)
        if kind == _NEVER_USED and not previous:
            return number, 0, []
        if (own, before) != (number, previous) or kind not in (_HASH, _HASH_UNSORTED) or count % 2:
            raise NotSettled("a page is damaged")
        index = struct.unpack_from(f"{self._order}{count}H", self._content, start + _HEAD)
        ends = (self._size, *index)
        found = [self._item(start, first, end) for first, end in zip(index, ends, strict=False)]
        return number, after, list(zip(found[::2], found[1::2], strict=True))

    def _start(self, number: int) -> int:
        """Return where a page begins. Raises NotSettled if it was read before: each belongs to one chain."""
        if number in self._seen or (number + 1) * self._size > len(self._content):
            raise NotSettled("its pages do not fit together")
        self._seen.add(number)
        return number * self._size

    def _item(self, page: int, first: int, end: int) -> bytes:
        if not _HEAD <= first < end <= self._size:
            raise NotSettled("a page is damaged")
        item = self._content[page + first : page + end]
        if item[0] == _KEYDATA:
            return item[1:]
        if item[0] == _OFFPAGE and len(item) == 12:
            return self._overflow(*struct.unpack_from(f"{self._order}4x 2I", item))
        raise NotSettled("an item is damaged, or of a kind that no dbm writes")

    def _overflow(self, number: int, length: int) -> bytes:
        """Return the value in a chain of overflow pages."""
        parts, previous = [], 0
        while number:
            start = self._start(number)
            own, before, after, _, held, _, kind = struct.unpack_from(
                self._order + _PAGE, self._content, start
            )
            if (own, before, kind) != (number, previous, _OVERFLOW) or held > self._size - _HEAD:
                raise NotSettled("an overflow page is damaged")
            parts.append(self._content[start + _HEAD : start + _HEAD + held])
            previous, number = number, after
        value = b"".join(parts)
        if len(value) != length:
            raise NotSettled("a value is cut off")
        return value
