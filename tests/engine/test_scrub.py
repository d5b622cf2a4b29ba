"""A scrub: every record of both stores is equal, explained or found, and the scrub changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Policy
from smtd.engine.scrub.findings import listed
from smtd.engine.scrub.verify import ScrubSession
from smtd.errors import StoreUnreachable
from smtd.merge.decide import Mode
from smtd.merge.sides import Both, Side
from smtd.output import shapes
from smtd.records import canonical
from smtd.records.record import Key, Parameters, Record
from smtd.stores.base import Capabilities
from tests.build import PROJECT, RUNNING, change, commented, full, key, record, tagged
from tests.engine.scrubbing import explained, found, prove
from tests.engine.world import AlteringStore, TestStore, World

DEPTHS = pytest.mark.parametrize("deep", [True, False], ids=["deep", "by digest"])
BAD = record("run", parameters=Parameters("YAMLParameterSet", "a: [1"))


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """A pair with two records in sync."""
    return await World(tmp_path).synced(full("run"), full("other"))


@DEPTHS
async def test_records_with_a_baseline_count_as_equal(world: World, deep: bool) -> None:
    """Every key is counted."""
    report = await prove(world, deep=deep)

    assert report.ok
    assert (report.compared, report.equal, report.deep) == (2, 2, deep)
    assert (report.left, report.right) == ("left", "right")


@DEPTHS
async def test_scrub_changes_nothing(world: World, deep: bool) -> None:
    """Neither the stores nor the journal, whatever it finds."""
    world.right.put(PROJECT, change(full("run"), version="tampered"))
    world.left.remove(PROJECT, "other")
    before = world.contents, world.knowledge()

    assert len((await prove(world, deep=deep)).findings) == 2

    assert (world.contents, world.knowledge(), world.writes) == (*before, Both([], []))


@DEPTHS
@pytest.mark.parametrize("side", Side)
async def test_record_that_changed_unnoticed_is_found(world: World, side: Side, deep: bool) -> None:
    """With its side, its fields, and what to do."""
    world[side].put(PROJECT, change(full("run"), version="tampered", outcome="better"))

    report = await prove(world, deep=deep)

    (finding,) = report.findings
    assert (report.compared, report.equal, report.ok) == (2, 1, False)
    assert finding.key == key("run")
    assert (finding.what.side, finding.fields) == (side, ("version", "outcome"))
    shown = shapes.finding(finding, "pair")
    assert shown["what"] == f"the {side.value} store differs from the last sync in version, outcome"
    assert f"run smtd sync now pair to copy that to the {side.other.value} store" in shown["next"]


BETTER, WORSE = (change(full("run"), outcome=outcome) for outcome in ("better", "worse"))


@DEPTHS
@pytest.mark.parametrize(
    ("left", "right", "what"),
    [
        pytest.param(BETTER, WORSE, "both stores differ from the last sync in outcome", id="both changed it"),
        pytest.param(BETTER, BETTER, None, id="both changed it alike"),
        pytest.param(
            BETTER,
            None,
            "it is missing from the right store, but was in sync",
            id="the loss is told, whatever else happened",
        ),
        pytest.param(None, None, None, id="both lost it, whatever was agreed once"),
    ],
)
async def test_record_that_changed_unnoticed_on_both_sides_is_found_if_they_differ(
    world: World, left: Record | None, right: Record | None, what: str | None, deep: bool
) -> None:
    """If both sides are equal, there is no finding."""
    for store, record_now in ((world.left, left), (world.right, right)):
        if record_now is None:
            store.remove(PROJECT, "run")
        else:
            store.put(PROJECT, record_now)

    report = await prove(world, deep=deep)

    assert found(report) == ({} if what is None else {"run": what})
    assert report.ok is (what is None)


@DEPTHS
@pytest.mark.parametrize("side", Side)
async def test_missing_record_is_found(world: World, side: Side, deep: bool) -> None:
    """A store that lost a record does not hold the baseline."""
    world[side].remove(PROJECT, "run")

    report = await prove(world, deep=deep)

    assert found(report) == {"run": f"it is missing from the {side.value} store, but was in sync"}
    assert (
        "run smtd sync now pair, which treats it as deleted"
        in shapes.finding(report.findings[0], "pair")["next"]
    )


@DEPTHS
@pytest.mark.parametrize("sides", [[Side.LEFT], [Side.RIGHT], list(Side)], ids=["left", "right", "both"])
async def test_unreadable_record_is_found(world: World, sides: list[Side], deep: bool) -> None:
    """With the reason, and not as missing."""
    for side in sides:
        world[side].put(PROJECT, BAD)

    report = await prove(world, deep=deep)

    (finding,) = report.findings
    what = f"the {sides[0].value} store holds it, but it cannot be read: parameters"
    assert found(report)["run"].startswith(what)
    assert (finding.what.side, report.equal) == (sides[0], 1)


@DEPTHS
async def test_new_record_is_no_finding(world: World, deep: bool) -> None:
    """It was never agreed on, so it is not missing on the other side."""
    world.left.put(PROJECT, full("new"))

    report = await prove(world, deep=deep)

    assert (explained(report), report.ok) == ({"new": "it is new; the next cycle will sync it"}, True)
    assert report.compared == 3


async def test_conflict_hold_and_refusal_are_explained_by_the_last_cycle(world: World) -> None:
    """A user already knows about them."""
    world.left.put(PROJECT, change(full("run"), version="one"))
    world.right.put(PROJECT, change(full("run"), version="two"))
    world.left.put(PROJECT, record("running", tags=RUNNING, duration=None))
    world.right.put(PROJECT, change(BAD, label="other"))
    last = await world.cycle()

    report = await prove(world, listed=listed(last))

    told = explained(report)
    assert report.ok
    assert told["run"] == "in conflict"
    assert told["running"] == "held: running"
    assert told["other"].startswith("failed: it cannot be read: parameters")


async def test_store_that_alters_records_is_found(tmp_path: Path) -> None:
    """Whether or not a cycle has reported it; the finding names the field."""
    altering = AlteringStore("right", lambda given: change(given, version="mine"))
    world = World(tmp_path, right=altering)
    world.left.put(PROJECT, full("run"))
    last = await world.cycle()

    unlisted, known = await prove(world), await prove(world, listed=listed(last))

    assert found(unlisted) == {"run": "the two stores have stored version differently since it was written"}
    assert known.ok
    assert explained(known)["run"].startswith("failed: the right store stored something different")
    assert known.explained[0].fields == ("version",)


class DecayingStore(TestStore):
    """A store that returns what was written at first, and something else later."""

    decayed = False

    async def read(self, keys: Any) -> dict[Key, Record]:
        records: dict[Key, Record] = await super().read(keys)
        if not self.decayed:
            return records
        return {name: change(each, stdout_stderr="") for name, each in records.items()}


async def test_wrong_listing_is_found_by_a_deep_scrub(tmp_path: Path) -> None:
    """It trusts nothing but the records themselves."""
    world = await World(tmp_path, right=DecayingStore("right")).synced(full("run"))
    world.right.decayed = True  # type: ignore[attr-defined]

    by_digest, deep = await prove(world, deep=False), await prove(world, deep=True)

    assert by_digest.ok
    assert found(deep) == {"run": "the right store differs from the last sync in stdout_stderr"}


class CostlyReadStore(TestStore):
    """A store where each read costs a request, and known records are trusted."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, costly_reads=True)

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.asked: list[str] = []

    async def scan(self, projects: Any = None, *, known: Any = None) -> Any:
        found = await super().scan(projects)
        trusted = {name: digest for name, digest in (known or {}).items() if name in self.records}
        self.asked += [name.label for name in found.digests if name not in trusted]
        return type(found)(found.digests | trusted, found.unfinished, found.unreadable)

    async def read(self, keys: Any) -> Any:
        self.asked += [name.label for name in keys]
        return await super().read(keys)


async def test_only_a_deep_scrub_reads_a_server_whole(tmp_path: Path) -> None:
    """Otherwise the scrub compares its listing, and reads no single record."""
    right = CostlyReadStore("right")
    world = await World(tmp_path, right=right).synced(full("run"), full("other"))
    right.put(PROJECT, tagged(full("run"), "there"))
    right.asked.clear()

    assert (await prove(world, deep=False)).ok
    assert right.asked == []
    assert found(await prove(world)) == {"run": "the right store differs from the last sync in tags"}
    assert right.asked == ["other", "run", "run"]


@DEPTHS
@pytest.mark.parametrize(
    ("mode", "changed", "is_found"),
    [
        (Mode.LEFT_TO_RIGHT, Side.RIGHT, False),
        (Mode.LEFT_TO_RIGHT, Side.LEFT, True),
        (Mode.RIGHT_TO_LEFT, Side.LEFT, False),
        (Mode.RIGHT_TO_LEFT, Side.RIGHT, True),
    ],
)
@pytest.mark.parametrize("what", ["edit", "deletion"])
async def test_target_of_a_one_way_pair_may_differ(
    world: World, mode: Mode, changed: Side, is_found: bool, what: str, deep: bool
) -> None:
    """Changes there are no findings; the source is verified."""
    if what == "edit":
        world[changed].put(PROJECT, tagged(full("run"), "mine"))
    else:
        world[changed].remove(PROJECT, "run")

    report = await prove(world, deep=deep, mode=mode)

    assert (len(report.findings), len(report.explained)) == (int(is_found), int(not is_found))
    if not is_found:
        assert f"changes in the {changed.value} store stay there" in explained(report)["run"]


class ReadOnlyStore(TestStore):
    """A store that cannot be written."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, read_only="it is old")


async def test_changes_opposite_a_read_only_store_are_no_findings(world: World) -> None:
    """Whatever the mode."""
    world.right.put(PROJECT, tagged(full("run"), "mine"))
    world.left.put(PROJECT, tagged(full("other"), "there"))
    archive = World(world.directory, ReadOnlyStore("left", world.left.records), world.right)

    report = await prove(archive)

    assert explained(report) == {"run": "the pair is left-to-right: changes in the right store stay there"}
    assert list(found(report)) == ["other"]


async def test_deletions_are_explained_under_deletes_keep(world: World) -> None:
    """But no edit: the next cycle restores a record that was edited on the other side."""
    await world.synced(full("edited too"))
    for label in ("run", "edited too"):
        world.left.remove(PROJECT, label)
    for label in ("other", "edited too"):
        world.right.put(PROJECT, tagged(full(label), "mine"))

    report = await prove(world, propagate_deletes=False)

    assert explained(report) == {
        "run": "it was deleted from the left store, and the pair does not propagate deletions"
    }
    assert found(report) == {
        "edited too": "it is missing from the left store, but was in sync",
        "other": "the right store differs from the last sync in tags",
    }


async def test_scrub_does_not_trust_the_digest_of_a_store(world: World) -> None:
    """The digest that comes with a record may be that of another one."""
    lying = change(full("run"), version="tampered")
    canonical.set_digest(lying, canonical.digest(full("run")))
    world.right.put(PROJECT, lying)

    (finding,) = (await prove(world)).findings

    assert finding.what.side is Side.RIGHT


async def test_cycle_reads_doubtful_keys_although_nothing_seems_changed(world: World) -> None:
    """It then does not trust a token that says so."""
    async with world.opened() as pair:
        before = world.right.scans
        await cycle.run(pair)
        quiet = world.right.scans - before
        await cycle.run(pair, recheck=[key("run")])

    assert (quiet, world.right.scans - before) == (0, 1)


@DEPTHS
async def test_edit_synced_during_the_scrub_is_no_finding(world: World, deep: bool) -> None:
    """A record that was in transit between the two looks is read again."""
    edited = commented(full("run"), "as expected")

    def carried() -> None:
        world.right.put(PROJECT, edited)

    world.left.put(PROJECT, edited)

    report = await prove(world, deep=deep, before_confirming=carried)

    assert report.ok
    assert report.equal == 2


async def test_concurrent_changes_are_left_to_the_next_cycle(world: World) -> None:
    """The scrub cannot say that they are wrong."""
    world.left.put(PROJECT, commented(full("run"), "as expected"))

    report = await prove(world, moving=True)

    assert explained(report) == {"run": "it is being changed; the next cycle will handle it"}


async def test_second_scrub_after_a_cycle_finds_nothing(world: World) -> None:
    """The remedy of the finding works."""
    world.right.put(PROJECT, change(full("run"), version="tampered"))
    assert not (await prove(world)).ok

    assert (await world.cycle()).ok

    assert (await prove(world)).equal == 2


async def test_only_the_projects_of_the_pair_are_scrubbed(world: World) -> None:
    """Others are ignored."""
    world.left.put("Another", full("run"))
    world.right.remove(PROJECT, "run")

    report = await prove(world, projects=frozenset({"Another"}))

    assert (report.compared, explained(report)) == (1, {"run": "it is new; the next cycle will sync it"})


@pytest.mark.parametrize("call", ["scan", "read"])
async def test_unreachable_store_is_an_error_and_no_finding(
    world: World, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is not a finding."""

    async def away(*_args: Any, **_options: Any) -> Any:
        raise StoreUnreachable("it is away")

    monkeypatch.setattr(world.right, call, away)

    with pytest.raises(StoreUnreachable):
        await prove(world)


async def test_many_records_are_scrubbed_in_batches(tmp_path: Path) -> None:
    """With progress reports, and none missed between two batches."""
    many = [full(f"run-{number:03}") for number in range(125)]
    world = await World(tmp_path).synced(*many)
    for label in ("run-000", "run-049", "run-050", "run-124"):
        world.right.put(PROJECT, change(full(label), version="tampered"))

    report = await prove(world)

    assert list(found(report)) == ["run-000", "run-049", "run-050", "run-124"]
    assert (report.compared, report.equal) == (125, 121)


async def test_json_of_a_scrub_is_ok_only_if_all_pairs_are(world: World) -> None:
    """And if there was no error."""
    world.right.put(PROJECT, change(full("run"), version="tampered"))
    report = await prove(world, deep=True)

    told = shapes.verify(0.12345, [report], [{"pair": "other", "error": "gone", "code": 4}])
    (pair,) = told["pairs"]

    assert (told["ok"], told["seconds"], told["errors"][0]["pair"]) == (False, 0.123, "other")
    assert (pair["ok"], pair["compared"], pair["findings"][0]["label"]) == (False, 2, "run")


async def test_scrub_is_expensive_if_either_store_is(world: World) -> None:
    """So its slices are smaller."""
    world.right.capabilities = replace(world.right.capabilities, costly_reads=True)
    async with world.opened() as pair:
        assert ScrubSession("pair", Both(world.left, world.right), pair.journal, Policy()).is_dear
        assert not ScrubSession("pair", Both(world.left, world.left), pair.journal, Policy()).is_dear
