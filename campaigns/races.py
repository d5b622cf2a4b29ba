"""Programs that read all of a store and save it much later, beside cycles that end at each of their steps.

In memory, where thousands of such stories take minutes; the other campaigns have real files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain, product
from itertools import cycle as repeated
from pathlib import Path
from random import Random

import anyio

from campaigns.campaign import Tally
from smtd.engine import cycle
from smtd.engine.report import PairReport
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key, Record
from tests.build import commented, key, record, tagged
from tests.engine.faults import Faults, run_into
from tests.engine.world import TestStore, UnlockedStore, World
from tests.stories.scene import listed
from tests.stories.words import Words

MOVES = 40
#: Cycles without a disturbance after which all is at rest, and one more that has nothing to do.
QUIET = 3
SEED = 20261125
#: Races between two reports of progress.
SHARE = 100
#: Up to so many records: with few of them, everybody is at the same ones.
FEW = 5
#: What becomes of a record, given a new word.
EDITS: Mapping[str, Callable[[Record, str], Record]] = {
    "run": lambda record, _: record,
    "comment": commented,
    "tag": tagged,
}
#: How a cycle ends early: at each of its steps in turn, before, in the middle of and after it.
ENDS = list(product(range(16), ("before", "during", "after"), ("kill", "error")))


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Let *count* races take place."""
    tally = Tally("races")
    for number in range(count):
        race = Race(directory / str(number), number, tally)
        anyio.run(race.run)
        shutil.rmtree(race.directory)
        tally.count += 1
        if tally.count % SHARE == 0:
            progress(f"{tally.count:,} of {count:,} races, {tally.wrong_so_far()}")
    return tally


@dataclass
class Race:
    """One story, the same for each *number*: a program on each side without a lock, people, and cycles."""

    directory: Path
    number: int
    tally: Tally
    world: World = field(init=False)
    words: Words = field(default_factory=Words)
    #: Every word that was ever written under a label.
    under: dict[str, set[str]] = field(default_factory=dict)
    #: What the program on a side has read, and not saved yet.
    seen: dict[Side, dict[Key, Record]] = field(default_factory=dict)
    #: What happened, in order: the evidence of a fault.
    log: list[str] = field(default_factory=list)
    _forks: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(SEED + self.number)
        first = self.number * 5 % len(ENDS)  # or short races would never come to the last ones
        self.ends = chain(ENDS[first:], repeated(ENDS))
        right = self.chance.choice((TestStore, UnlockedStore))
        left = self.chance.choice((TestStore, UnlockedStore))
        self.world = World(self.directory / "journal", left("left"), right("right"))

    async def run(self) -> None:
        """Let everything happen in any order; then look whether anything is gone, or differs."""
        for _ in range(MOVES):
            await self.chance.choice((self._work, self._work, self._cycle))()
            if self._lost():
                return
        reports = [await self.world.cycle() for _ in range(QUIET)]
        if not self._lost():
            self._compare(reports[-1])

    async def _work(self) -> None:
        """A person works on one side: by a program that reads long before it saves, if there is no lock."""
        side = self.chance.choice(SIDES)
        store = self.world[side]
        if store.capabilities.exclusive_writes:
            self._save(side, dict(store.records))
        elif side not in self.seen:
            self.seen[side] = dict(store.records)
            self.log.append(f"{side.value}: read")
        else:
            self._save(side, self.seen.pop(side))

    def _save(self, side: Side, seen: dict[Key, Record]) -> None:
        """Save all that was *seen* on *side*, but for what the person does to one record of it."""
        store, word, keys = self.world[side], self.words.new(), sorted(seen)
        what = self.chance.choice(
            ("comment", "comment", "tag", "tag", "delete", *["run"] * (len(keys) < FEW))
        )
        if what == "run" or not keys:
            what, before = "run", record(f"run-{word}", reason=word)
        else:
            before = seen[self.chance.choice(keys)]
        changed = key(before.label)
        if what == "delete":
            # Whatever was said of it is taken away with it, by a person.
            for gone in self.under.get(before.label, ()):
                self.words.removed.setdefault(gone, set()).add(side)
            store.replace({each: kept for each, kept in seen.items() if each != changed})
        else:
            self.under.setdefault(before.label, set()).add(word)
            self.words.written.add(word)
            store.replace(seen | {changed: EDITS[what](before, word)})
        self.tally.counts[what] += 1
        self.log.append(f"{side.value}: {what} {before.label} {word}")

    async def _cycle(self) -> None:
        """Run a cycle, that ends at its next step or is let alone."""
        if self.chance.random() < 0.4:
            await self.world.cycle()
            self.log.append("cycle")
            return
        self._forks += 1
        at, when, how = next(self.ends)
        faults = Faults(at, when, how, self.world, self.directory / str(self._forks))
        await run_into(faults, cycle.run)
        if faults.left is not None:
            self.world = faults.left
        self.tally.counts["cycles that ended early" if faults.left else "cycles"] += 1
        self.log.append(f"cycle: {when} {faults.steps[-1]}: {how}" if faults.left else "cycle")

    def _lost(self) -> bool:
        """Look for words that are gone, and say whether one is."""
        held = Both(*[self.world[side].records for side in SIDES])
        gone = self.words.lost([*held.left.values(), *held.right.values()], [], by_rule=False)
        lost = [word for word, why in gone.items() if why == "nobody took it away"]
        if lost:
            self.tally.losses.append(f"race {self.number}: {', '.join(lost)} after {'; '.join(self.log)}")
        return lost != []

    def _compare(self, report: PairReport) -> None:
        """Compare both sides, now that all is at rest."""
        contents = self.world.contents
        left, right = contents.left, contents.right
        differing = {each for each in left.keys() | right.keys() if left.get(each) != right.get(each)}
        wrong = [f"{each.label} differs" for each in differing - listed(report)]
        wrong += [f"the {side.value} was written to" for side in SIDES if report.side(side).written]
        if wrong:
            self.tally.differences.append(
                f"race {self.number}: {', '.join(wrong)} after {'; '.join(self.log)}"
            )
        self.tally.counts["writes left to a person"] += len(report.held)
