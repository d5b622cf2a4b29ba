"""The mark of tables on a server, which shows whether they were recreated or restored from a backup."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from smtd.stores.django.connection import Row


class ServerMark(msgspec.Struct, frozen=True):
    """The mark of the record tables at one moment (None: this server does not have the value).

    *identity* stays the same while the tables are the same ones, and *counts* only grow. *filed* changes
    whenever the whole table is rewritten, by a truncation or by a mere clean-up; then *since* shows which
    rows are older than the mark. *newest* is the highest id of a row, and *name* a hash that identifies the
    record in that row.
    """

    identity: tuple[str | None, ...]
    counts: tuple[int | None, ...]
    filed: str | None = None
    since: int | None = None
    newest: int | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The mark as the journal stores it."""
        return msgspec.json.encode(self).decode()

    def is_followed_by(self, now: ServerMark) -> bool:
        """Say whether *now* may be a later mark of the same tables.

        The identity must be the same, no count may have decreased, and a newest row with the same id must
        have the same record.
        """
        same = all(
            None in (before, after) or before == after
            for before, after in zip(self.identity, now.identity, strict=True)
        )
        grown = all(
            before is None or after is None or after >= before
            for before, after in zip(self.counts, now.counts, strict=True)
        )
        return same and grown and (self.newest != now.newest or self.name == now.name)


def read(text: str) -> ServerMark:
    """Return the mark that was written as *text*."""
    return msgspec.json.decode(text, type=ServerMark)


def record_hash(row: Row) -> str:
    """Return a hash that identifies the record whose project and label are *row*."""
    return blake2b(repr(tuple(row)).encode(), digest_size=8).hexdigest()
