"""The row of the table that measures general sync tools beside smtd, which only copy files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import measure
from bench.line import Line, seconds
from bench.measure import Command, Run
from bench.workplace import Pair, Workplace, expect
from tests.peers.environments import environment

ITEMS = 10_000
CONFIGURATION = """
[general]
status_path = "{home}/status/"
[pair items]
a = "left"
b = "right"
collections = null
[storage left]
type = "filesystem"
path = "{home}/left"
fileext = ".vcf"
[storage right]
type = "filesystem"
path = "{home}/right"
fileext = ".vcf"
"""


class Peer:
    """A tool and two directories, the left one with ITEMS files of the size of a record."""

    def __init__(self, work: Workplace, name: str, first: Command, again: Command) -> None:
        self._work, self._first, self._again = work, first, again
        self.name = name

    def fresh(self) -> Run:
        """Copy everything for the first time."""
        home = self._first.cwd
        for directory in (home / "right", home / "status", home / "state"):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        if self.name == "vdirsyncer":  # which wants to see both sides before it syncs
            measure.run(Command([*self._first.argv[:-1], "discover"], home, self._first.env))
        done = measure.run(self._first)
        expect(sum(1 for _ in (home / "right").iterdir()), ITEMS, f"files copied by {self.name}")
        return done

    def nothing(self) -> Run:
        """Look, when nothing has changed."""
        return measure.run(self._again)


def beside(work: Workplace, rounds: int) -> list[Line]:
    """A first sync of as many items of the same size, and a look with nothing to do."""
    pairs: list[Pair] = []

    def first() -> Run:
        pairs.append(Pair(work, "peers", ITEMS))
        return pairs[-1].sync(created=ITEMS)

    peers = [made for make in (_vdirsyncer, _unison, _rclone) if (made := make(work)) is not None]
    subjects: dict[str, Callable[[], Run]] = {"smtd": first, "smtd again": lambda: pairs[-1].sync()}
    for peer in peers:
        subjects |= {peer.name: peer.fresh, f"{peer.name} again": peer.nothing}
    runs = measure.interleaved(subjects, rounds)
    missing = {"vdirsyncer", "Unison", "rclone bisync"} - {peer.name for peer in peers}
    return [
        Line(
            what,
            seconds(runs[f"smtd{end}"]),
            "; ".join(
                [f"{peer.name}: {seconds(runs[peer.name + end])}" for peer in peers]
                + [f"{name} is not on this machine" for name in sorted(missing)]
            ),
            "ahead of all three" if not end else "ahead of vdirsyncer and rclone",
            all(
                measure.seconds(runs[f"smtd{end}"]) < measure.seconds(runs[peer.name + end])
                for peer in peers
                if not end or peer.name != "Unison"
            ),
        )
        for what, end in (
            (f"first sync, {ITEMS:,} records, shelf → new SQLite, beside tools that copy as many files", ""),
            ("the same, nothing to do", " again"),
        )
    ]


def _items(work: Workplace, name: str) -> Path:
    """Return a directory that has the items on its left."""
    from bench.sweep import sweep  # here: see bench/edits.py

    home = work.empty(f"peer-{name}")
    (home / "left").mkdir()
    for number in range(ITEMS):
        note = (sweep(number).stdout_stderr or "").replace("\n", " ")
        lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{number:06}", f"FN:{number}", f"NOTE:{note}" * 2]
        (home / "left" / f"{number:06}.vcf").write_text("\r\n".join([*lines, "END:VCARD", ""]), "utf-8")
    return home


def _vdirsyncer(work: Workplace) -> Peer:
    home = _items(work, "vdirsyncer")
    (home / "config").write_text(CONFIGURATION.format(home=home), "utf-8")
    found = environment("vdirsyncer")
    argv = [str(found.bin / "vdirsyncer"), "-v", "ERROR", "-c", str(home / "config"), "sync"]
    command = Command(argv, home, {**found.variables(), "HOME": str(home)})
    return Peer(work, "vdirsyncer", command, command)


def _unison(work: Workplace) -> Peer | None:
    if (tool := shutil.which("unison")) is None:
        return None
    home = _items(work, "unison")
    env = {**work.smtd().env, "UNISON": str(home / "state")}
    command = Command([tool, "-batch", "-silent", "-ui", "text", "left", "right"], home, env)
    return Peer(work, "Unison", command, command)


def _rclone(work: Workplace) -> Peer | None:
    if (tool := shutil.which("rclone")) is None:
        return None
    home = _items(work, "rclone")
    words = [tool, "--config", "/dev/null", "bisync", "left", "right", "--workdir", str(home / "state")]
    make = partial(Command, cwd=home, env=work.smtd().env)
    return Peer(work, "rclone bisync", make([*words, "--resync"]), make(words))
