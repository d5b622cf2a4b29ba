"""The encoding of records in the journal, compressed where that is worth the time."""

from __future__ import annotations

import zlib

from smtd.errors import JournalError, RecordUnusable
from smtd.records.record import Record, decode, encode

#: Level 1 halves the time of level 6 for a tenth more bytes (measured on real records).
_COMPRESSION = 1
_LARGE = 4096  # bytes; smaller records are not compressed, to save time
_ZLIB = b"\x78"


def archived(record: Record) -> bytes:
    """Return *record* in the form of the history: it is seldom read, so well compressed."""
    return zlib.compress(encode(record))


def pack(record: Record, encoded: bytes | None = None) -> bytes:
    """Return *record* encoded, and compressed if it is large.

    An encoded record is a list, and no compressed data begins like a list.
    """
    data = encode(record) if encoded is None else encoded
    return data if len(data) < _LARGE else zlib.compress(data, _COMPRESSION)


def unpack(data: bytes) -> Record:
    """Return the record that `pack` or `archived` encoded as *data*. Raises JournalError for damaged data."""
    try:
        return decode(zlib.decompress(data) if data[:1] == _ZLIB else data)
    except (RecordUnusable, zlib.error, TypeError) as exc:
        raise JournalError(
            f"a record in the journal is damaged ({exc}); move the journal away (smtd then syncs the stores"
            " from scratch and deletes nothing)"
        ) from exc


def pack_any(record: Record | None) -> bytes | None:
    """Return `pack(record)`, and None for None."""
    return None if record is None else pack(record)


def unpack_any(data: bytes | None) -> Record | None:
    """Return `unpack(data)`, and None for None."""
    return None if data is None else unpack(data)
