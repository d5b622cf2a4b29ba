"""A note beside the journal for the next start: how many cycles had begun, and whether it was closed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from smtd import private, regular
from smtd.records.record import BAD_BYTES


class Note(msgspec.Struct, frozen=True):
    """How many *cycles* had begun in the journal; *well*: it was closed, and no damage had been found."""

    cycles: int
    well: bool


def read_note(journal: Path) -> Note | None:
    """Return the note beside *journal* (None: it is missing or unreadable). Blocks."""
    with suppress(OSError, *BAD_BYTES):
        return msgspec.json.decode(regular.read(_place(journal), regular.SMALL), type=Note)
    return None


def write_note(journal: Path, note: Note) -> None:
    """Write *note* beside *journal*. Blocks. If that fails, the next start only checks more."""
    with suppress(OSError):
        private.replace(_place(journal), msgspec.json.encode(note))


def _place(journal: Path) -> Path:
    return journal.with_name("journal.note")
