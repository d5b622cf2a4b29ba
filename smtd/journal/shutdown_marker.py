"""A note beside the journal, for its next start: how far it had come, and whether it was closed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from smtd import private, regular
from smtd.records.record import BAD_BYTES


class Note(msgspec.Struct, frozen=True):
    """The journal had begun *cycles* cycles; *well*: it was closed, and nothing was found amiss in it."""

    cycles: int
    well: bool


def read_note(journal: Path) -> Note | None:
    """Return the note beside *journal*; one that is missing or cannot be read says nothing. Blocks."""
    with suppress(OSError, *BAD_BYTES):
        return msgspec.json.decode(regular.read(_place(journal), regular.SMALL), type=Note)
    return None


def write_note(journal: Path, note: Note) -> None:
    """Leave *note* beside *journal*. Blocks. Where it cannot be written, the next start only does more."""
    with suppress(OSError):
        private.replace(_place(journal), msgspec.json.encode(note))


def _place(journal: Path) -> Path:
    return journal.with_name("journal.note")
