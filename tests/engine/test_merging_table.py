"""Two users make every edit of docs/explanation/merging.md on two stores, and get what the page says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from docs import merging
from docs.outcomes import MIRROR, PROVENANCE, Case, edited, field_cases, key_cases, of_running, situations
from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge import fields
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from smtd.stores.base import Change, Store
from smtd.stores.django.driver import SQLITE
from smtd.stores.location import Location
from smtd.stores.memory import MemoryStore
from smtd.stores.registry import open_store
from tests.build import PROJECT
from tests.sampling import sampled

PAGE = Path(merging.__file__).parent / "explanation" / "merging.md"
_TABLES: dict[str, tuple[Policy, Mapping[str, Case]]] = {
    "fields": (MIRROR, dict(field_cases())),
    **{
        f"keys, {mode.value}{'' if deletes else ', deletes kept'}": (policy, dict(key_cases(policy)))
        for mode in Mode
        for deletes in (True, False)
        for policy in [Policy(mode=mode, propagate_deletes=deletes)]
    },
    "running, held": (Policy(), of_running(Policy())),
    "running, mirrored": (MIRROR, of_running(MIRROR)),
}


def _copied(case: Case) -> bool:
    """Say whether both sides have a new record that two users cannot have created: it was copied."""
    return case.before is None and case.left is not None and case.left == case.right


#: Keys with a copied record run alone: beside one, missing records do not count as deleted.
TABLES = {
    f"{name}{', copied' if copied else ''}": (policy, chosen)
    for name, (policy, cells) in _TABLES.items()
    for copied in (False, True)
    if (chosen := {which: case for which, case in cells.items() if _copied(case) is copied})
}
#: Unchanged records, so that one missing record is no reason to hold anything.
BYSTANDERS = {f"bystander {number}": dict(key_cases(Policy()))["aaa"] for number in range(9)}


def test_page_matches_the_code():
    """After a change of a rule, generate the page again: make merging."""
    assert PAGE.read_text("utf-8") == merging.page()


def test_page_has_every_situation_and_every_field():
    """All 15 patterns of three records that may be absent, and every field of a record."""
    assert len(set(situations())) == 15
    named = {name.split(":")[0].split(",")[0] for name, _ in field_cases()}
    assert named == {*fields.ANNOTATIONS, *fields.WHEREABOUTS, *PROVENANCE, "status"}
    assert set(PROVENANCE) == set(fields.PROVENANCE)


@dataclass
class Machines:
    """Two machines, each with a store on which a user works: *memory*, or SQLite files in *directory*."""

    directory: Path
    memory: Both[MemoryStore] | None

    def location(self, side: Side) -> Location:
        """Return the location of the store of *side*."""
        return Location(SQLITE, self.directory / side.value / "records")

    async def edit(self, side: Side, records: Mapping[Key, Record | None]) -> None:
        """Have the user on *side* leave *records* there (None: none), with a program of their own."""
        if self.memory is not None:
            await _left_there(self.memory[side], records)
            return
        async with open_store(self.location(side)) as store:
            await _left_there(store, records)

    async def cycle(self, policy: Policy) -> tuple[PairReport, Both[dict[Key, Record]]]:
        """Run one cycle; return its report and what both stores hold after it."""
        if self.memory is not None:
            return await self._cycle(self.memory.left, self.memory.right, policy)
        async with (
            open_store(self.location(Side.LEFT)) as left,
            open_store(self.location(Side.RIGHT)) as right,
        ):
            return await self._cycle(left, right, policy)

    async def _cycle(
        self, left: Store, right: Store, policy: Policy
    ) -> tuple[PairReport, Both[dict[Key, Record]]]:
        async with open_journal(self.directory / "state") as journal, journal.pair("left", "right") as known:
            report = await cycle.run(Pair("pair", Both(left, right), known, policy))
        held = [await store.read((await store.scan()).digests) for store in (left, right)]
        return report, Both(held[0], held[1])


async def _left_there(store: Store, records: Mapping[Key, Record | None]) -> None:
    held = (await store.scan()).digests
    changes = [
        Change(key, record, held.get(key))
        for key, record in records.items()
        if held.get(key) != (None if record is None else digest(record))
    ]
    outcomes = await store.write(changes)
    assert [outcome.reason for outcome in outcomes if outcome.reason] == []


@pytest.fixture
def machines(kind, tmp_path) -> Machines:
    """Two machines with empty stores."""
    for side in SIDES:
        (tmp_path / side.value).mkdir()
    memory = Both(MemoryStore("left"), MemoryStore("right")) if kind == "memory" else None
    return Machines(tmp_path, memory)


def labelled(record: Record | None, label: str) -> Record | None:
    """Return *record* under *label*."""
    return None if record is None else edited(record, label=label)


def told(after: Both[Record | None]) -> tuple[object, object]:
    """Return what identifies the records of both sides."""
    left, right = (None if each is None else digest(each) for each in (after.left, after.right))
    return left, right


@pytest.mark.parametrize(
    ("kind", "table"),
    [*product(["memory"], TABLES), *sampled(product(["SQLite"], TABLES), 3)],
)
async def test_edits_of_two_users_give_what_the_table_says(machines, table):
    """For every cell: what each side has afterwards, which fields are in conflict, and what is held."""
    policy, cells = TABLES[table]
    cases = {Key(PROJECT, f"{at:03} {name}"[:100]): case for at, (name, case) in enumerate(cells.items())}
    cases |= {Key(PROJECT, label): case for label, case in BYSTANDERS.items()}
    started = {key: labelled(case.before, key.label) for key, case in cases.items() if case.before}

    await machines.edit(Side.LEFT, started)
    assert (await machines.cycle(MIRROR))[0].ok
    await machines.edit(Side.LEFT, {key: labelled(case.left, key.label) for key, case in cases.items()})
    await machines.edit(Side.RIGHT, {key: labelled(case.right, key.label) for key, case in cases.items()})
    report, held = await machines.cycle(policy)

    found = {key: told(Both(held.left.get(key), held.right.get(key))) for key in cases}
    assert {key.label: "otherwise" for key, case in cases.items() if found[key] != told(case.after())} == {}
    expected = {key: case.plan() for key, case in cases.items()}
    assert {each.label: each.fields for each in report.conflicts} == {
        key.label: plan.conflicts[0].fields for key, plan in expected.items() if plan.conflicts
    }
    assert [each.label for each in report.held] == [key.label for key, plan in expected.items() if plan.held]
    assert report.failed == []
