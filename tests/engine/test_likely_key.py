"""A user who names a record that does not exist is asked whether they mean one that does."""

from __future__ import annotations

import pytest

from smtd.engine.explain import explain, show
from smtd.engine.resolve import Resolution, resolve
from smtd.errors import UsageError
from smtd.journal.decisions import Choice
from smtd.records.record import Key
from tests.build import PROJECT, change, record
from tests.engine.world import World


@pytest.fixture
async def world(tmp_path) -> World:
    """Two records that differ on both sides, and one of another project."""
    world = World(tmp_path)
    one, other = record("20261125-130012"), record("first-try")
    for store, version in ((world.left, "1111"), (world.right, "2222")):
        store.put(PROJECT, change(one, version=version))
        store.put(PROJECT, other)
    world.left.put("Other", record("elsewhere"))
    await world.cycle()
    world.left.remove("Other", "elsewhere")
    world.right.remove("Other", "elsewhere")
    world.left.put("Other", record("only-there"))
    await world.cycle()
    return world


@pytest.mark.parametrize(
    ("project", "label", "likely"),
    [
        (PROJECT, "first-tyr", f"{PROJECT}/first-try"),
        (PROJECT, "20261125-1300", f"{PROJECT}/20261125-130012"),
        (PROJECT, "only-there", "Other/only-there"),
        ("MyProjet", "first-tr", f"{PROJECT}/first-try"),
    ],
)
async def test_misspelt_record_is_met_with_the_likely_one(world, project, label, likely):
    """By its label, by the beginning of it, by the project that has it, and by the likely project."""
    for verb in (explain, show):
        with pytest.raises(UsageError, match=f"; did you mean '{likely}'"):
            await world.do(verb, Key(project, label))


@pytest.mark.parametrize(
    "key", [Key(PROJECT, "20261125-130013"), Key("Unlike", "any"), Key("Other", "elsewhere")]
)
async def test_record_that_no_name_is_like_is_looked_for_in_a_list(world, key):
    """Also one that is gone, and one with another number: that would be another run."""
    with pytest.raises(UsageError, match="; smtd list shows the records of a store"):
        await world.do(show, key)


async def test_decision_about_a_misspelt_record_is_met_with_one_that_waits(world):
    """Only records in conflict can be decided."""
    with pytest.raises(UsageError, match="no conflict matches; did you mean 'MyProject/20261125-130012'"):
        await world.do(resolve, Resolution(Choice.LEFT, PROJECT, ("20261125-13001",)))
    with pytest.raises(UsageError, match="no conflict matches; smtd conflicts lists them"):
        await world.do(resolve, Resolution(Choice.LEFT, PROJECT, ("first-try",)))
