"""Print docs/explanation/merging.md, the tables of outcomes, as the code that decides has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from docs.outcomes import (
    FINAL_STATUS,
    PLACES,
    PLAIN,
    PROVENANCE,
    RUNNING_STATUS,
    STATES,
    TAGS,
    TEXTS,
    Case,
    Edits,
    did,
    edited,
    key_cases,
    of_provenance,
    of_running,
)
from smtd.engine.pair import Policy
from smtd.merge.decide import Conflicts, Mode
from smtd.records.record import Record
from smtd.records.tags import STATUS_TAGS

HEAD = """\
# What becomes of two edits

<!-- Printed by docs/merging.py, which asks the code that decides: `make merging`. Do not edit. -->

Two people work on the same records on two machines, and smtd brings the two stores together. This page says
what comes out, for everything that the two can have done. Whatever smtd overwrites or deletes is in its
history first: `smtd history` lists it, `smtd undo` and `smtd restore` bring it back.
"""
KEYS = """\
## One record, as a whole

What matters is what each person did to the record since both sides were last in sync. An edit wins over a
deletion. A pair that is kept one way never writes to the side that its changes come from.
"""
KEEP = """\
### With `deletes = "keep"`

A deletion then stays on the side where it was made. Only these rows differ from the table above.
"""
RULES = """\
### What both changed and no rule can merge

A **conflict** leaves both sides as they are until a person decides (`smtd resolve`), or until the pair
has a rule: `conflicts = "left"`, `"right"`, or `"newest"`, by which the later run wins. Of one run that was
edited twice nobody knows which edit is newer, so that `"newest"` asks, too. The side that loses is in the
history.
"""
RUNNING = """\
### A run that is not over

A running record keeps changing, so smtd holds it until the run has ended, unless the pair has
`unfinished = "mirror"`. A run is over when its record has a duration, whatever its status says:
Sumatra sets it when the program has ended, and records of its API stay `_initialized_`. Without a duration
the status tells, and without a status what was captured of the output.
"""
FIELDS = """\
## Field by field

Where both people changed the record, each field is looked at by itself. Rows are what the person on the left
did, columns what the one on the right did; the cell is what both sides have afterwards, or a **conflict**,
which leaves the whole record as it is. The first table of each pair is of a record that had been in sync, and
the second of two records that meet for the first time, of which nobody knows what they were before.
"""
OF_TEXTS = """\
### `reason` and `outcome`

The text was `{}`. `smt comment` appends lines (shown here with a slash between lines): those of both people
are kept, those of the left side first. Whatever was written wins over a removal, and a text that was replaced
on one side and changed on the other is a conflict.
"""
OF_TAGS = """\
### Tags

The record had the tag `old`. A tag that either person added is there, and one that either removed is not; of
two records that meet for the first time all tags are kept.
"""
OF_STATUS = """\
### The status of a run

Sumatra keeps the status among the tags (`_running_`, `_finished_`, ...). A record has only one: that of the
side that changed it, or that is further along. First a run that was `_running_` when both sides were last in
sync, then one that was `_finished_`.
"""
OF_PLACES = """\
### `datastore` and `input_datastore`

Where the data lie: `smt migrate` changes it. The data were in `/data`.
"""
OF_PROVENANCE = """\
### What was run, where, on what, and what came out

All other fields say which experiment it was. No person edits them: if they differ, two runs have the same
label. A record that only one side changed, as when it was deleted and its label used again, takes the place
of the other; else no rule may decide which is the true one. Only the end of a run may come from one side.
(Output and input data that Sumatra itself took away from a finished run are given back:
[Formats](../formats.md).)
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_keys(), *_fields()])


def _keys() -> Iterator[str]:
    modes = {mode.value: Policy(mode=mode) for mode in Mode}
    yield KEYS
    yield _of_keys(modes)
    yield KEEP
    kept = {name: replace(policy, propagate_deletes=False) for name, policy in modes.items()}
    differing = [
        letters
        for letters, case in key_cases(Policy())
        if any(
            replace(case, policy=kept[name]).in_words() != replace(case, policy=modes[name]).in_words()
            for name in modes
        )
    ]
    yield _of_keys(kept, differing)
    yield RULES
    yield _of_rules()
    yield RUNNING
    hold, mirror = of_running(Policy()), of_running(Policy(hold_unfinished=False))
    rows = ([what, hold[what].in_words(), mirror[what].in_words()] for what in hold)
    yield _table(["the run", "`hold`", "`mirror`"], rows)


def _of_keys(policies: dict[str, Policy], only: Iterable[str] | None = None) -> str:
    cases = {name: dict(key_cases(policy)) for name, policy in policies.items()}
    rows = []
    for letters in dict(key_cases(Policy())):
        if only is None or letters in only:
            before, left, right = tuple(letters)
            start = "never there" if before == "-" else "in sync"
            told = [cases[name][letters].in_words() for name in policies]
            rows.append([start, did(before, left, right), did(before, right, left), *told])
    return _table(["before", "left", "right", *(f"`{name}`" for name in policies)], rows)


def _of_rules() -> str:
    one, other = edited(PLAIN, version="1111"), edited(PLAIN, version="2222")
    later = edited(other, timestamp=PLAIN.timestamp.replace(year=2025))
    texts = [edited(PLAIN, outcome=f"another, on the {side}") for side in ("left", "right")]
    cases = {
        "both replaced the outcome": Case(PLAIN, texts[0], texts[1]),
        "two runs under one label, begun in one moment": Case(None, one, other),
        "two runs under one label, the right one later": Case(None, one, later),
        "both appended to the outcome": Case(PLAIN, STATES["b"], STATES["c"]),
    }
    rows = [
        [what, f"`{mode.value}`", *(replace(case, policy=rule).in_words() for rule in _rules(mode))]
        for what, case in cases.items()
        for mode in Mode
    ]
    return _table(["both changed it", "mode", *(f"`{rule.value}`" for rule in Conflicts)], rows)


def _rules(mode: Mode) -> list[Policy]:
    return [Policy(mode=mode, conflicts=rule) for rule in Conflicts]


def _fields() -> Iterator[str]:
    yield FIELDS
    yield OF_TEXTS.format(" / ".join((PLAIN.outcome or "").split("\n")))
    yield from _alike(TEXTS, _text_of)
    yield OF_TAGS
    yield from _matrices(TAGS, lambda record: _words(record.tags - STATUS_TAGS))
    yield OF_STATUS
    for edits in (RUNNING_STATUS, FINAL_STATUS):
        yield _matrix(edits, lambda record: _words(record.tags & STATUS_TAGS), met=True)
    yield "Of two records that meet for the first time:\n"
    yield _matrix(RUNNING_STATUS, lambda record: _words(record.tags & STATUS_TAGS), met=False)
    yield OF_PLACES
    yield from _alike(PLACES, lambda name: lambda record: f"`{getattr(record, name).parameters['root']}`")
    yield OF_PROVENANCE
    columns = list(of_provenance("version"))
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in PROVENANCE:
        cells = tuple(_short(of_provenance(name)[column]) for column in columns)
        alike.setdefault(cells, []).append(f"`{name}`")
    rows = ([", ".join(names), *cells] for cells, names in alike.items())
    yield _table(["field", *columns], rows)


def _alike(tables: dict[str, Edits], shown: Callable[[str], Callable[[Record], str]]) -> list[str]:
    """Return the tables of one of the fields, which must be those of the others, too."""
    found = {name: list(_matrices(edits, shown(name))) for name, edits in tables.items()}
    texts = ["\n".join(each).replace(f": {name}", "") for name, each in found.items()]
    first, *others = (text.replace("why", "fine") for text in texts)
    assert others == [first] * len(others)
    return [texts[-1].rstrip("\n") + "\n"]


def _text_of(name: str) -> Callable[[Record], str]:
    return lambda record: (getattr(record, name) or "").replace("\n", " / ") or "(empty)"


def _words(tags: Iterable[str]) -> str:
    return " ".join(f"`{tag}`" for tag in sorted(tags)) or "(none)"


def _matrices(edits: Edits, shown: Callable[[Record], str]) -> Iterator[str]:
    yield _matrix(edits, shown, met=True)
    yield _matrix(edits, shown, met=False)


def _matrix(edits: Edits, shown: Callable[[Record], str], *, met: bool) -> str:
    first = "in sync before" if met else "never in sync"
    rows = (
        [f"**{left}**", *(_merged(edits.case(left, right, met=met), shown) for right in edits.named)]
        for left in edits.named
    )
    return _table([f"{first}: left \\ right", *edits.named], rows)


def _merged(case: Case, shown: Callable[[Record], str]) -> str:
    after = case.after()
    if case.plan().conflicts or after.left is None or after.right is None:
        return "**conflict**"
    left, right = shown(after.left), shown(after.right)
    return left if left == right else f"{left} on the left, {right} on the right"


def _short(case: Case) -> str:
    """Return what happens, with no more than one name in a conflict: the row has it."""
    return "**conflict**" if case.plan().conflicts else case.in_words()


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
