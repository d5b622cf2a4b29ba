"""A story of two stores, step by step: hypothesis chooses what happens, and shortens a failing story."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.engine.resolve import Resolution
from smtd.errors import UsageError
from smtd.journal.decisions import Choice
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key, Record
from tests.build import FINISHED, PROJECT, RUNNING, change, commented, key, record, tagged
from tests.stories.accidents import Accident
from tests.stories.scene import Making, Scene, listed
from tests.stories.words import Words

T = TypeVar("T")
LABELS = [f"run-{name}" for name in "abcd"]
sides = st.sampled_from(SIDES)
labels = st.sampled_from(LABELS)
#: Which of the existing records, in order of their labels.
numbers = st.integers(0, 3)
accidents = st.builds(
    Accident,
    st.integers(0, 24),
    st.sampled_from(["before", "during", "after"]),
    st.sampled_from(["error", "cancel", "end"]),
)
#: A change of a record, given a new word.
EDITS: Mapping[str, Callable[[Record, str], Record]] = {
    "comment": commented,
    "comment --replace": lambda record, word: change(record, outcome=word),
    "tag": tagged,
    "tag --remove": lambda record, _: change(record, tags=record.tags & (FINISHED | RUNNING)),
    "end": lambda record, _: change(record, tags=record.tags - RUNNING | FINISHED),
}
#: What users do in a while: on which side, to which record, and what. A story leaves out some of its rules
#: from the beginning; so all that users do is one rule.
works = st.lists(
    st.tuples(sides, numbers, st.sampled_from(["run", "run and wait", "delete", *EDITS, "comment", "tag"])),
    min_size=1,
    max_size=4,
)
#: Cycles after which both sides stay the same if no user changes anything.
QUIET = 2


def mostly(usual: T, others: Iterable[T]) -> st.SearchStrategy[T]:
    """Choose *usual* as often as not."""
    return st.just(usual) | st.sampled_from(list(others))


def policies() -> st.SearchStrategy[Policy]:
    """Every way to sync a pair. Records on a server are read again in each cycle."""
    return st.builds(
        Policy,
        projects=st.sampled_from([None, frozenset({PROJECT})]),
        mode=mostly(Mode.TWO_WAY, Mode),
        propagate_deletes=mostly(True, (False,)),
        conflicts=mostly(Conflicts.ASK, Conflicts),
        hold_unfinished=st.booleans(),
        verify_within=st.just(0.0),
    )


def pairs(kinds: Mapping[str, Making]) -> st.SearchStrategy[tuple[str, str]]:
    """Every two kinds; there is one server, so at most one side is on it."""
    both = st.tuples(st.sampled_from(sorted(kinds)), st.sampled_from(sorted(kinds)))
    return both.filter(lambda pair: pair != ("http", "http"))


class Story(RuleBasedStateMachine):
    """Everything that may happen; `about` gives it the kinds of store."""

    kinds: Mapping[str, Making]
    #: What happened in all stories.
    counts: Counter[str]

    @initialize(data=st.data(), policy=policies())
    def begin(self, data: st.DataObject, policy: Policy) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="smtd-story-"))
        left, right = data.draw(pairs(self.kinds), "kinds")
        self.counts["stories"] += 1
        self.scene = Scene.made(self.home, Both(self.kinds[left], self.kinds[right]), policy)
        for place in (self.scene.places.left, self.scene.places.right):
            self.wait(place.put, record("first"))
            self.wait(place.remove, "first")
        self.words = Words()
        self.away: set[Side] = set()
        self.copies: dict[Side, Path] = {}
        #: What programs have read of a store without a lock, to save it later with their own changes.
        self.read: dict[Side, dict[Key, Record]] = {}
        #: Keys of a one-way pair whose target has its own records.
        self.own: set[Key] = set()
        source = next(side for side in SIDES if side.other in policy.mode.targets)
        for label in LABELS[:3]:
            self.run(source, label, "1111", FINISHED)
        self.sync()

    def teardown(self) -> None:
        if hasattr(self, "home"):
            try:
                self.rest()
            finally:
                shutil.rmtree(self.home, ignore_errors=True)

    def wait(self, work: Callable[..., Coroutine[Any, Any, T]], *words: Any) -> T:
        return anyio.run(work, *words)

    # What users do

    def edit(self, side: Side, number: int, after: Callable[[Record], Record | None]) -> None:
        """Make a user apply *after* to a record of *side*, if there is one."""
        held = {} if side in self.away else self.wait(self.scene.held, side)
        if held:
            before = held[sorted(held)[number % len(held)]]
            self.save(side, before.label, before, after(before))

    def save(self, side: Side, label: str, before: Record | None, changed: Record | None) -> None:
        """Make a user replace *before* by *changed*."""
        if changed == before:
            return
        self.counts["deletions" if changed is None else "creations" if before is None else "edits"] += 1
        if side in self.scene.policy.mode.targets and len(self.scene.policy.mode.targets) == 1:
            self.own.add(key(label))
        place = self.scene.places[side]
        self.words.edited(side, [before] if before else [], [changed] if changed else [])
        if changed is None:
            self.wait(place.remove, label)
        else:
            self.wait(place.put, changed)

    def run(self, side: Side, label: str, version: str, tags: frozenset[str]) -> None:
        """Run a program, and save its record."""
        if side in self.away or key(label) in self.wait(self.scene.held, side):
            return
        duration = None if tags == RUNNING else 1.5
        made = record(label, version=version, reason=self.words.new(), tags=tags, duration=duration)
        self.save(side, label, None, made)

    def work(self, side: Side, number: int, what: str) -> None:
        """Make a user run a program that ends or continues, edit a record, delete it, or end its run."""
        if what.startswith("run"):
            self.run(side, LABELS[number], "1111", FINISHED if what == "run" else RUNNING)
        elif what == "delete":
            self.edit(side, number, lambda before: None)
        else:
            self.edit(side, number, lambda before: EDITS[what](before, self.words.new()))

    @rule(works=works)
    def people(self, works: list[tuple[Side, int, str]]) -> None:
        for work in works:
            self.work(*work)

    @rule(label=labels)
    def two_experiments(self, label: str) -> None:
        """Two programs run under one label, each on its own side."""
        for side, version in zip(SIDES, ("1111", "2222"), strict=True):
            self.run(side, label, version, FINISHED)

    @rule(choice=st.sampled_from([Choice.LEFT, Choice.RIGHT, Choice.BOTH, Choice.APPROVE, Choice.REJECT]))
    def decide(self, choice: Choice) -> None:
        """A user decides about every conflict, or about every held deletion."""
        if self.away:
            return
        held = Both(*[self.wait(self.scene.held, side) for side in SIDES])
        try:
            keys = self.wait(self.scene.decide, Resolution(choice))
        except UsageError:
            return
        if choice is Choice.BOTH:
            return
        for chosen in keys:
            both = {side: held[side].get(chosen) for side in SIDES}
            for side in SIDES:  # the record of the other side is copied here, or deleted
                mine, others = both[side], both[side.other]
                self.words.edited(side, [mine] if mine else [], [others] if others else [])

    # What machines do

    @rule(hasty=st.booleans())
    def cycle(self, hasty: bool) -> None:
        self.sync(hasty=hasty)

    @rule(accident=accidents)
    def crash(self, accident: Accident) -> None:
        """A cycle ends at some step."""
        self.sync(accident)

    @rule(side=sides, what=st.sampled_from(["outdated", "read_only"]))
    def hampered_cycle(self, side: Side, what: str) -> None:
        """A side cannot be written, or shows an old state."""
        if what == "outdated":
            self.sync(outdated=side)
        elif self.scene.policy.mode.sparing({side}) is not None:
            self.sync(read_only=side)

    @rule(works=works, accident=st.none() | accidents, hasty=st.booleans())
    def work_and_cycle(
        self, works: list[tuple[Side, int, str]], accident: Accident | None, hasty: bool
    ) -> None:
        """The usual case: something is new, and a cycle syncs it, whatever accident happens."""
        self.people(works)
        self.sync(accident, hasty=hasty)

    @precondition(lambda self: not self.away)
    @rule(side=sides)
    def unmount(self, side: Side) -> None:
        """The directory of a store is missing for a while."""
        home = self.scene.file(side)
        if home is not None:
            home.rename(home.with_suffix(".away"))
            self.away.add(side)

    @rule()
    def mount(self) -> None:
        for side in sorted(self.away, key=lambda side: side.value):
            home = self.scene.file(side)
            assert home is not None
            if home.exists():  # a store that was never synced is created again in its place: no longer seen
                self.words.edited(side, self.wait(self.scene.held, side).values(), [])
                shutil.rmtree(home)
            home.with_suffix(".away").rename(home)
        self.away.clear()

    @precondition(lambda self: not self.away)
    @rule(side=sides)
    def back_up(self, side: Side) -> None:
        if self.scene.file(side) is not None:
            self.copies[side] = self.scene.copied(side)

    @precondition(lambda self: self.copies and not self.away)
    @rule()
    def restore(self) -> None:
        """A user restores the backup of a store."""
        for side, copy in sorted(self.copies.items(), key=lambda each: each[0].value):
            home = self.scene.file(side)
            assert home is not None
            before = self.wait(self.scene.held, side)
            shutil.rmtree(home)
            copy.rename(home)
            after = self.wait(self.scene.held, side)
            self.words.edited(side, before.values(), after.values())
            if side in self.scene.policy.mode.targets:
                self.own |= before.keys() | after.keys()
        self.copies.clear()

    @rule(side=sides)
    def open_shelf(self, side: Side) -> None:
        """A program reads all of a shelf, which has no lock."""
        if side not in self.away and type(self.scene.places[side]).__name__ == "ShelfPlace":
            self.read[side] = self.wait(self.scene.held, side)

    @precondition(lambda self: self.read and not self.away)
    @rule(label=labels)
    def save_shelf(self, label: str) -> None:
        """The program saves its own record, and all that it read."""
        for side, read in sorted(self.read.items(), key=lambda each: each[0].value):
            place = self.scene.places[side]
            before = self.wait(self.scene.held, side)
            word = self.words.new()
            own = key(f"{label}-{word}")
            after = read | {own: record(own.label, reason=word)}
            self.words.edited(side, before.values(), after.values())
            if side in self.scene.policy.mode.targets:
                self.own |= before.keys() | after.keys()
            for gone in before.keys() - after.keys():
                self.wait(place.remove, gone.label)
            self.wait(place.put, *after.values())
        self.read.clear()

    # What must hold

    def sync(
        self, accident: Accident | None = None, *, hasty: bool = False, **circumstances: Side
    ) -> PairReport | None:
        """Run one cycle; the source of a one-way pair must not change."""
        self.counts["cycles"] += 1
        self.counts["accidents"] += accident is not None or circumstances != {}
        source = [
            side for side in SIDES if side not in self.scene.policy.mode.targets and side not in self.away
        ]
        before = {side: self.scene.places[side].forms() for side in source}
        report = self.wait(lambda: self.scene.cycle(accident, hasty=hasty, **circumstances))
        assert {side: self.scene.places[side].forms() for side in source} == before
        self.look(at_rest=False)
        return report

    def rest(self) -> None:
        """No user does anything any more: both sides settle, and nothing is lost."""
        self.mount()
        reports = [self.sync() for _ in range(QUIET)]
        report = reports[-1]
        assert report is not None, "a cycle failed, though nothing was in its way"
        before = self.scene.forms()
        again = self.sync()
        assert again is not None
        written = {side: again.side(side).written for side in SIDES}
        assert written == dict.fromkeys(SIDES, 0), "there was something left to do"
        assert self.scene.forms() == before
        self.look(at_rest=True, report=again)

    def look(self, *, at_rest: bool, report: PairReport | None = None) -> None:
        """Look for lost words and, if all is *at_rest*, for records that differ."""
        if self.away:
            return
        held = Both(*[self.wait(self.scene.held, side) for side in SIDES])
        records = [*held.left.values(), *held.right.values()]
        by_rule = self.scene.policy.conflicts is not Conflicts.ASK
        lost = self.words.lost(records, self.scene.history(), by_rule=by_rule)
        assert lost == {}, lost
        self.words.note(held)
        if at_rest and report is not None:
            differing = self.differing(held) - listed(report)
            assert differing == set(), differing

    def differing(self, held: Both[dict[Key, Record]]) -> set[Key]:
        """Return the keys that differ although the pair should keep them equal."""
        left, right = (self.wait(self.scene.digests, side) for side in SIDES)
        differing = {each for each in left.keys() | right.keys() if left.get(each) != right.get(each)}
        policy = self.scene.policy
        if policy.mode is not Mode.TWO_WAY:
            (target,) = policy.mode.targets
            differing -= self.own | (held[target].keys() - held[target.other].keys())
        elif not policy.propagate_deletes:
            differing -= held.left.keys() ^ held.right.keys()
        return differing


def about(kinds: Mapping[str, Making]) -> type[Story]:
    """Return the machine whose stories are about stores of *kinds*."""
    return type("StoryOfThese", (Story,), {"kinds": kinds, "counts": Counter()})
