"""Two real stores on which people and `smt` work, and what must be true of them whenever all is at rest."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Set
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from campaigns.campaign import Tally
from campaigns.kills import smt
from campaigns.kills.mishap import FAILED, WELL, Mishap, befall
from smtd.engine.pair import Policy
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import Key, Record
from tests.build import PROJECT, commented, key, record, tagged
from tests.peers.project import SumatraProject
from tests.stories.scene import Scene, listed
from tests.stories.words import Words, words

#: A project of one store, everything on the server is looked at each time.
POLICY = Policy(projects=frozenset({PROJECT}), verify_within=0.0)
#: How often two quiet cycles are asked to bring all to rest.
QUIET = 2


@dataclass
class Arena:
    """A project of real `smt` on the left, what people edit on the right.

    *mishaps* may befall a cycle here; *lasting* are those of the machine, each a block in which it lasts.
    """

    name: str
    project: SumatraProject
    scene: Scene
    mishaps: list[str]
    lasting: dict[str, Callable[[Random], Any]] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    #: Every word that was ever written under a label.
    under: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Labels that people and `smt` gave.
    given: set[str] = field(default_factory=set)
    ran: Counter[str] = field(default_factory=Counter)
    #: Labels of records that were left to a person: on a shelf `smt` had twice undone what smtd wrote.
    waited: set[str] = field(default_factory=set)
    usual: float = 0.1
    _read: int = 0
    #: The words that a report has as lost.
    _reported: set[str] = field(default_factory=set)

    def cycle(self, mishap: Mishap, chance: Random) -> int:
        """Run a cycle that *mishap* befalls; return the exit code of its process."""
        with ExitStack() as stack:
            if mishap.kind in self.lasting:
                # Whatever befalls the machine befalls `smt`, too, which gives up; that is not to be counted.
                stack.enter_context(smt.turn(self.project.directory))
                stack.enter_context(self.lasting[mishap.kind](chance))
            began = time.monotonic()
            code = self._befall(mishap)
            if code == WELL:
                self.usual += 0.1 * (time.monotonic() - began - self.usual)
        return code

    def _befall(self, mishap: Mishap) -> int:
        return befall(mishap, self.scene.directory / "journal", self.scene.locations, POLICY)

    def edit(self, chance: Random) -> None:
        """Let a person do something on the right."""
        anyio.run(self._edit, chance)

    async def _edit(self, chance: Random) -> None:
        held = await self.scene.held(Side.RIGHT)
        place = self.scene.places.right
        word = self.words.new()
        mine = sorted(label for (_, label) in held if label.startswith("ours-"))
        choice = chance.random()
        if choice < 0.4 or len(held) < 3:
            made = record(f"ours-{word}", reason=word)
            await self._put(place, None, made)
        elif choice < 0.5 and len(mine) > 5:
            gone = chance.choice(mine)
            self.words.edited(Side.RIGHT, [held[key(gone)]], [])
            await place.remove(gone)
        else:
            before = held[chance.choice(sorted(held))]
            edit = chance.choice((commented, tagged))
            await self._put(place, before, edit(before, word))

    async def _put(self, place: Any, before: Record | None, after: Record) -> None:
        self.words.edited(Side.RIGHT, [before] if before else [], [after])
        self.given.add(after.label)
        self.under[after.label] |= words([after])
        await place.put(after)

    def hear(self, tally: Tally) -> None:
        """Take note of what `smt` has done."""
        log = smt.log_of(self.project.directory)
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        for line in lines[self._read :]:
            done = json.loads(line)
            what, label = done["what"], done["label"]
            self.ran[what] += 1
            if what == "failed":
                tally.differences.append(f"{self.name}: smt failed on {label}: {done['said']}")
                continue
            self.given.add(label)
            if what == "delete":
                for word in self.under[label]:
                    self.words.removed.setdefault(word, set()).add(Side.LEFT)
            else:
                self.words.written.add(done["word"])
                self.under[label].add(done["word"])
        self._read = len(lines)

    def check(self, tally: Tally, when: str) -> None:
        """Let all come to rest, and look whether anything is lost, there twice, or different."""
        with smt.turn(self.project.directory):
            self.hear(tally)
            where = f"{self.name}, after {when}"
            for _ in range(QUIET):
                report = anyio.run(self.scene.cycle)
                if report is None:
                    tally.differences.append(f"{where}: a quiet cycle failed")
                    return
            before = self.scene.forms()
            report = anyio.run(self.scene.cycle)
            if self.scene.forms() != before:
                tally.differences.append(f"{where}: a further cycle had something to write")
            assert report is not None
            tally.differences += [f"{where}: {each}" for each in report.failed]
            self.waited |= {held.label for held in report.held}
            anyio.run(self._compare, tally, where, listed(report))

    async def _compare(self, tally: Tally, where: str, waiting: Set[Key]) -> None:
        """Compare both sides, but for what is *waiting* for a person."""
        held = Both(*[await self.scene.held(side) for side in SIDES])
        lost = self.words.lost(
            [*held.left.values(), *held.right.values()], self.scene.history(), by_rule=False
        )
        new = {word: wrong for word, wrong in lost.items() if word not in self._reported}
        self._reported |= lost.keys()
        tally.losses += [f"{where}: {word}: {wrong}; {self._story(word)}" for word, wrong in new.items()]
        self.words.note(held)
        tally.doubles += [
            f"{where}: {key} is there {count} times on the {side.value}"
            for side in SIDES
            for key, count in self._counted(side, held[side]).items()
            if count > 1 or key.label not in self.given
        ]
        digests = held.map(lambda records: {key: canonical.digest(one) for key, one in records.items()})
        tally.differences += [
            f"{where}: {key} differs"
            for key in sorted(digests.left.keys() | digests.right.keys())
            if digests.left.get(key) != digests.right.get(key) and key not in waiting
        ]

    def _story(self, word: str) -> str:
        """Return what smtd wrote under the labels of *word*, the newest first."""
        labels = [label for label, said in self.under.items() if word in said]
        asked = "SELECT cycle, side, action, reason, landed, hex(before), hex(after) FROM history"
        with closing(sqlite3.connect(self.scene.directory / "journal" / "journal.sqlite")) as db:
            entries = {
                label: db.execute(f"{asked} WHERE label = ? ORDER BY id DESC LIMIT 12", (label,)).fetchall()
                for label in labels
            }
        return repr(entries)

    def _counted(self, side: Side, held: dict[Key, Record]) -> Counter[Key]:
        """Return how often each label is there; only tables can have one twice."""
        place = self.scene.places[side]
        if not hasattr(place, "run"):
            return Counter(list(held))
        rows = place.run("SELECT project_id, label FROM django_store_record")
        return Counter(Key(project, label) for project, label in rows)


#: What `befall` returns of a cycle that was killed, or that failed as it should.
EXPECTED = frozenset((WELL, FAILED, -signal.SIGKILL))
