"""What tells the tables on a server from others in their place, or from an earlier state of themselves."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from smtd.stores.django.connection import Row


class ServerMark(msgspec.Struct, frozen=True):
    """A mark of the tables of records at one moment; None stands for what this server does not tell.

    *identity* has what stays as long as the tables are the same ones, *counts* what only grows. *filed*
    changes whenever the table is written anew as a whole, by a truncation or by a mere clean-up; *since*
    then tells which rows are older than the mark. *newest* is the highest number of a row, and *name*
    stands for the record that has it.
    """

    identity: tuple[str | None, ...]
    counts: tuple[int | None, ...]
    filed: str | None = None
    since: int | None = None
    newest: int | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The mark as the journal keeps it."""
        return msgspec.json.encode(self).decode()

    def is_followed_by(self, now: ServerMark) -> bool:
        """Say whether *now* may be of the same tables later on.

        The identity is the same, nothing has gone back, and the newest row is not another record's.
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


def named(row: Row) -> str:
    """Return what stands for the record whose project and label are *row*."""
    return blake2b(repr(tuple(row)).encode(), digest_size=8).hexdigest()
