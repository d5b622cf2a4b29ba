"""A file beside the journal that tells a state directory from a copy of it.

No tool that copies or restores files can set their time of change (ctime). So the journal stores the content
of the witness and the ctime of that content. In a copy the two no longer match, whatever the tool, and
whatever it restores together with the journal. The content changes whenever the journal does, so a journal
that is restored alone does not match either.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread

from smtd import durable, regular
from smtd.sqlite import Connection

#: A value that changes with every change of the journal.
_STATE = "SELECT group_concat(name || seq) FROM (SELECT name, seq FROM sqlite_sequence ORDER BY name)"


class Witness(NamedTuple):
    """The content of the witness, its ctime (in nanoseconds), and the inode of the journal."""

    content: str
    changed: int
    inode: int


def read(journal: Path) -> Witness | None:
    """Return the witness of *journal* (None: it or the journal is missing or no regular file). Blocks."""
    with suppress(OSError, UnicodeDecodeError):
        place = _place(journal)
        return Witness(
            regular.read_text(place, "ascii", regular.SMALL), place.stat().st_ctime_ns, journal.stat().st_ino
        )
    return None


async def fits(db: Connection, seen: Witness | None) -> bool:
    """Say whether the witness as *seen* is the one that the journal has stored.

    A journal that has stored none counts as not copied.
    """
    rows = await db.fetch("SELECT content, changed, inode, next FROM witness")
    if not rows:
        return True
    if seen is None:
        return False
    ((*remembered, following),) = rows
    return seen == Witness(*remembered) or seen.content == following != ""


async def renew(db: Connection, journal: Path) -> None:
    """Write a new witness and store it in the journal, unless the stored one is as new as the journal.

    After a crash at any point journal and witness match. If the witness cannot be written, the old one stays.
    """
    state, seen = str(await db.value(_STATE) or ""), await to_thread.run_sync(read, journal)
    known = await db.fetch("SELECT content, changed, inode, state FROM witness")
    if seen is not None and known == [(*seen, state)]:
        return
    content = secrets.token_hex(16)
    await _remember(db, seen, content, state)
    with suppress(OSError):
        await to_thread.run_sync(_write, _place(journal), content)
        await _remember(db, await to_thread.run_sync(read, journal), "", state)


async def _remember(db: Connection, witness: Witness | None, following: str, state: str) -> None:
    async with db.transaction():
        await db.run("DELETE FROM witness")
        if witness is not None:
            await db.run("INSERT INTO witness VALUES (?, ?, ?, ?, ?)", (*witness, following, state))


def _write(place: Path, content: str) -> None:
    """Write *content* in place, durably, also the name of a new file.

    After a power cut the journal must not have stored a witness that is lost.
    """
    handle = regular.lock(place)
    try:
        os.pwrite(handle, content.encode("ascii"), 0)
        durable.sync([place])
    finally:
        os.close(handle)


def _place(journal: Path) -> Path:
    return journal.with_name("journal.witness")
