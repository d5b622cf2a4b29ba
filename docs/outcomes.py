"""What becomes of what two people do to one record, found by asking the code that decides.

Nothing here decides: every outcome is the plan that smtd makes of two small stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import product
from typing import Any

import msgspec

from smtd.engine import merges
from smtd.engine import plan as planning
from smtd.engine.actions import ActionKind, Plan
from smtd.engine.pair import Policy
from smtd.engine.plan import Facts
from smtd.merge.sides import Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import (
    Component,
    DataKey,
    Dependency,
    Executable,
    Key,
    Parameters,
    Platform,
    Record,
    Repository,
)
from smtd.records.run_status import is_final
from smtd.stores.base import Scan

KEY = Key("MyProject", "run")
FINISHED, RUNNING = frozenset({"_finished_"}), frozenset({"_running_"})


def _launched(directory: str) -> Component:
    return Component("SerialLaunchMode", {"working_directory": directory, "options": None})


PLAIN = Record(
    label=KEY.label,
    timestamp=datetime(2024, 3, 31, tzinfo=timezone.utc),
    reason="why",
    duration=1.5,
    executable=Executable("/usr/bin/python3", "Python", "3.12.1"),
    repository=Repository("GitRepository", "/code"),
    main_file="main.py",
    version="2f1c0de",
    parameters=Parameters("SimpleParameterSet", "seed = 1"),
    launch_mode=_launched("/code"),
    datastore=Component("FileSystemDataStore", {"root": "/data"}),
    input_datastore=Component("FileSystemDataStore", {"root": "/data"}),
    outcome="fine",
    tags=FINISHED,
    output_data=(DataKey("result.csv", "1" * 40),),
    stdout_stderr="done",
)
#: Records that nobody touches: without them a deletion would leave nothing, and be held.
BYSTANDERS = {
    Key(KEY.project, label): msgspec.structs.replace(PLAIN, label=label) for label in ("one", "two", "three")
}


def edited(record: Record, **fields: Any) -> Record:
    """Return *record* with other values in some *fields*."""
    return msgspec.structs.replace(record, **fields)


@dataclass(frozen=True)
class Case:
    """One record: as it was when last in sync, and as each side has it now (None: it has not)."""

    before: Record | None
    left: Record | None
    right: Record | None
    policy: Policy = field(default_factory=Policy)

    def plan(self) -> Plan:
        """Return what the next cycle does about it, beside records that nobody touched."""
        baselines = {key: _both(record) for key, record in BYSTANDERS.items()}
        if self.before is not None:
            baselines[KEY] = _both(self.before)
        known = Facts(baselines, Both(_scan(self.left), _scan(self.right)), Both({}, {}))
        plan = planning.build_plan(known, self.policy)
        for key in plan.merges:
            assert self.left is not None
            assert self.right is not None
            merges.merged(key, self.before, Both(self.left, self.right), self.policy, plan)
        return plan

    def after(self) -> Both[Record | None]:
        """Return what each side has after that cycle."""
        sides = {Side.LEFT: self.left, Side.RIGHT: self.right}
        for action in self.plan().actions:
            for write in action.writes:
                copies = action.kind is ActionKind.COPY
                sides[write.side] = sides[write.side.other] if copies else write.record
        return Both(sides[Side.LEFT], sides[Side.RIGHT])

    def in_words(self) -> str:
        """Return what the next cycle does about it, in a few words."""
        plan = self.plan()
        if plan.conflicts:
            return f"**conflict**: {', '.join(plan.conflicts[0].fields)}"
        if plan.held:
            return "held"
        for action in plan.actions:
            if action.kind in (ActionKind.COPY, ActionKind.DELETE):
                deleted = action.kind is ActionKind.DELETE
                done = "deleted" if deleted else "created" if action.creates else "updated"
                return f"{done} on the {action.writes[0].side.value}"
            return _OTHERS[action.kind]
        return "nothing to do" if self.left == self.right else "each side stays as it is"


_OTHERS = {
    ActionKind.MERGE: "merged, on both sides",
    ActionKind.AGREE: "in sync",
    ActionKind.FORGET: "forgotten",
}


def _both(record: Record) -> Both[Digest]:
    return Both(canonical.digest(record), canonical.digest(record))


def _scan(record: Record | None) -> Scan:
    held = BYSTANDERS | ({} if record is None else {KEY: record})
    digests = {key: canonical.digest(each) for key, each in held.items()}
    return Scan(digests, {key for key, each in held.items() if not is_final(each)})


#: The record in the three states that matter for whether a key changed: any two differ.
STATES = {
    "-": None,
    "a": PLAIN,
    "b": edited(PLAIN, outcome="fine\nfrom the left"),
    "c": edited(PLAIN, outcome="fine\nfrom the right"),
}


def situations() -> Iterator[str]:
    """Give every distinguishable situation: before, left and right; equal letters are equal records."""
    for letters in product("-abc", repeat=3):
        names = dict(zip(dict.fromkeys(each for each in letters if each != "-"), "abc", strict=False))
        if all(names.get(each, "-") == each for each in letters):
            yield "".join(letters)


def did(before: str, now: str, other: str) -> str:
    """Return what a person did to a record, if *before* became *now*, and *other* on the other side."""
    if before == "-":
        what = "made none" if now == "-" else "made it"
    else:
        what = "nothing" if now == before else "deleted it" if now == "-" else "edited it"
    return f"{what}, alike" if now == other and what in ("made it", "edited it") else what


@dataclass(frozen=True)
class Edits:
    """What people do to one field: by its name each edit as the left and as the right person makes it."""

    named: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
    before: Record = PLAIN

    def case(self, left: str, right: str, *, met: bool = True) -> Case:
        """Return the case of two edits; without *met* the sides were never in sync."""
        made = edited(self.before, **self.named[left][0]), edited(self.before, **self.named[right][1])
        return Case(self.before if met else None, *made, Policy(hold_unfinished=False))


def _text(name: str) -> Edits:
    was = getattr(PLAIN, name)
    return Edits(
        {
            "nothing": ({}, {}),
            "appended a line": ({name: f"{was}\nfrom the left"}, {name: f"{was}\nfrom the right"}),
            "appended the same line": ({name: f"{was}\nthe same"}, {name: f"{was}\nthe same"}),
            "replaced it": ({name: "another, on the left"}, {name: "another, on the right"}),
            "removed it": ({name: ""}, {name: ""}),
        }
    )


def _tags(**edits: tuple[str, str]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        name.replace("_", " "): ({"tags": frozenset(left.split())}, {"tags": frozenset(right.split())})
        for name, (left, right) in edits.items()
    }


def _statuses(*names: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        name or "no status": ({"tags": frozenset(name.split())}, {"tags": frozenset(name.split())})
        for name in names
    }


def _place(name: str) -> Edits:
    places = {root: Component("FileSystemDataStore", {"root": root}) for root in ("/left", "/right", "/same")}
    return Edits(
        {
            "nothing": ({}, {}),
            "moved the data": ({name: places["/left"]}, {name: places["/right"]}),
            "moved it to the same place": ({name: places["/same"]}, {name: places["/same"]}),
        }
    )


#: The tables of fields: by name the edits.
TEXTS = {name: _text(name) for name in ("reason", "outcome")}
PLACES = {name: _place(name) for name in ("datastore", "input_datastore")}
TAGS = Edits(
    _tags(
        nothing=("_finished_ old", "_finished_ old"),
        added_a_tag=("_finished_ old left", "_finished_ old right"),
        added_the_same_tag=("_finished_ old same", "_finished_ old same"),
        removed_the_tag=("_finished_", "_finished_"),
        removed_and_added=("_finished_ left", "_finished_ right"),
    ),
    edited(PLAIN, tags=FINISHED | {"old"}),
)
RUNNING_STATUS = Edits(
    _statuses("_pre_run_", "_running_", "_finished..._", "_finished_", "_failed_", ""),
    edited(PLAIN, tags=RUNNING, duration=None),
)
FINAL_STATUS = Edits(_statuses("_finished_", "_failed_", "_killed_", ""))

#: Two other values for every field that says what was run, where, on what, and what came out.
PROVENANCE: dict[str, tuple[Any, Any]] = {
    "timestamp": (PLAIN.timestamp.replace(hour=1), PLAIN.timestamp.replace(hour=2)),
    "duration": (2.5, 3.5),
    "executable": (Executable("/bin/left", "Python", "3"), Executable("/bin/right", "Python", "3")),
    "repository": (Repository("GitRepository", "/left"), Repository("GitRepository", "/right")),
    "main_file": ("left.py", "right.py"),
    "version": ("1111", "2222"),
    "parameters": (
        Parameters("SimpleParameterSet", "seed = 2"),
        Parameters("SimpleParameterSet", "seed = 3"),
    ),
    "input_data": ((DataKey("left.csv", "2" * 40),), (DataKey("right.csv", "3" * 40),)),
    "script_arguments": ("left", "right"),
    "launch_mode": (_launched("/left"), _launched("/right")),
    "output_data": ((DataKey("left.csv", "2" * 40),), (DataKey("right.csv", "3" * 40),)),
    "diff": ("- left", "- right"),
    "user": ("left", "right"),
    "dependencies": ((Dependency("python", "l", "/l", "1"),), (Dependency("python", "r", "/r", "2"),)),
    "platforms": ((Platform(network_name="left"),), (Platform(network_name="right"),)),
    "stdout_stderr": ("left", "right"),
    "repeats": ("left", "right"),
}


COMMENTED = {"outcome": "fine\nby the other person"}
MIRROR = Policy(hold_unfinished=False)


def of_provenance(name: str) -> dict[str, Case]:
    """Return what two people can do to what was run, by a few words."""
    one, other = ({name: value} for value in PROVENANCE[name])
    started = edited(PLAIN, tags=RUNNING, duration=None)
    ended, ended_otherwise = edited(PLAIN, **one), edited(PLAIN, **other)
    return {
        "only one side has another": Case(PLAIN, ended, PLAIN),
        "one side has another, the other a comment": Case(PLAIN, ended, edited(PLAIN, **COMMENTED)),
        "both have another": Case(PLAIN, ended, ended_otherwise),
        "the run went on: ended on one side, a comment on the other": Case(
            started, ended, edited(started, **COMMENTED), MIRROR
        ),
        "the run went on: ended on both, differently": Case(started, ended, ended_otherwise, MIRROR),
        "never in sync": Case(None, ended, PLAIN),
    }


def of_running(policy: Policy) -> dict[str, Case]:
    """Return what can happen to a run that is not over, by a few words."""
    started = edited(PLAIN, tags=RUNNING, duration=None)
    ended, commented = edited(PLAIN, duration=9.0), edited(started, **COMMENTED)
    return {
        "it began on the left": Case(None, started, None, policy),
        "it goes on, and the left one has a comment": Case(started, commented, started, policy),
        "it goes on, and both have comments": Case(
            started, edited(started, outcome="fine\nfrom the left"), commented, policy
        ),
        "it ended on the left": Case(started, ended, started, policy),
        "it ended on the left, and the right one has a comment": Case(started, ended, commented, policy),
        "it ended on both, alike": Case(started, ended, ended, policy),
        "it was deleted on the left": Case(started, None, started, policy),
    }


#: Every table of two people's edits of one field, by its name.
FIELD_TABLES = {
    **TEXTS,
    "tags": TAGS,
    "status, while it was running": RUNNING_STATUS,
    "status, when it was over": FINAL_STATUS,
    **PLACES,
}


def field_cases() -> Iterator[tuple[str, Case]]:
    """Give every cell of the tables of fields, with a name."""
    for table, edits in FIELD_TABLES.items():
        for left, right, met in product(edits.named, edits.named, (True, False)):
            yield (
                f"{table}: {left} / {right}{'' if met else ', never in sync'}",
                edits.case(left, right, met=met),
            )
    for name in PROVENANCE:
        yield from ((f"{name}: {what}", case) for what, case in of_provenance(name).items())


def key_cases(policy: Policy) -> Iterator[tuple[str, Case]]:
    """Give every situation of a key."""
    for letters in situations():
        before, left, right = (STATES[each] for each in letters)
        yield letters, Case(before, left, right, policy)
