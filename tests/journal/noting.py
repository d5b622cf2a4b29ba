"""What users, programs and machines do to a journal: write to it, open it elsewhere, limit its space."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smtd.journal.pair import PairJournal
from smtd.journal.transaction import Baseline
from smtd.journal.write_log import Landed
from smtd.merge.sides import Both
from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from tests.build import PROJECT

#: Opens the pair of a journal in another process, and prints the result; a fourth argument keeps it open.
OTHER_PROCESS = """
import sys
from pathlib import Path
import anyio
from smtd.errors import JournalError
from smtd.journal import journal as journals
from smtd.journal.journal import open_journal

journals.PATIENCE = 0.1

async def main(directory, left, right, *keep):
    try:
        async with open_journal(Path(directory)) as journal, journal.pair(left, right):
            print("open", flush=True)
            if keep:
                sys.stdin.read()
    except JournalError as exc:
        print(exc)

anyio.run(main, *sys.argv[1:])
"""


def process(
    directory: Path, left: str, right: str, *keep: str, rights: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start a process that opens the journal in *directory*, prints the result, and may *keep* it open.

    *rights* are the words of a command that takes some away.
    """
    words = [*rights, sys.executable, "-c", OTHER_PROCESS, str(directory), left, right, *keep]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def line_of(other: subprocess.Popen[str]) -> str:
    """Return the next line that the process prints."""
    assert other.stdout is not None
    return other.stdout.readline()


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """Limit this process to *most* of *what* (a limit of `resource`) during the block."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def baseline(made: Record, project: str = PROJECT) -> Baseline:
    """Return the baseline of a record that both sides have."""
    return Baseline(Key(project, made.label), Both(digest(made), digest(made)), made)


async def note(
    known: PairJournal,
    *,
    baselines: Sequence[Baseline] = (),
    forgotten: Collection[Key] = (),
    landed: Sequence[Landed] = (),
    ended: Collection[Key] = (),
    entries: Collection[int] = (),
    files: Both[str] | None = None,
) -> None:
    """Write all of that to the journal, as at the end of a batch of writes."""
    async with known.transaction() as tx:
        tx.set_baselines(baselines)
        tx.drop_baselines(forgotten)
        tx.log_writes(landed)
        tx.finish(ended)
        tx.set_landed(entries)
        if files is not None:
            tx.set_store_marks(files)
