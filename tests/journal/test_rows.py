"""What the index has about the rows of a store: their keys and their fingerprints."""

from __future__ import annotations

import pytest

from smtd.journal.index import StoreIndex
from smtd.journal.pair import PairJournal
from smtd.merge.sides import Side
from smtd.records.canonical import digest
from smtd.stores.index import ABSENT, Block, Busy, Entry, Fingerprints, RowLook, State, by_key, readable
from tests.build import key, record, tagged

A, B, C = key("a"), key("b"), key("c")
ONE = readable(digest(record("a")), final=True)
OTHER = readable(digest(tagged(record("a"), "x")), final=False)
LOOKED = Fingerprints([128, 1], 500, [{0: Block(7, "1,2"), 3: Block(-8, b"5 130")}, {}])
FIRST = RowLook(
    {A: ONE, B: ONE, C: OTHER},
    {A: [1], B: [2, 9], C: [3]},
    whole=True,
    undisturbed=True,
    listed=(A, B, C),
    fingerprints=LOOKED,
)


@pytest.fixture
async def index(known: PairJournal) -> StoreIndex:
    """The index of the left store of a pair, after a look."""
    await known.indexes.left.update_rows(FIRST, b"head")
    return known.indexes.left


async def test_look_is_stored_with_its_rows(index: StoreIndex) -> None:
    """Also if two rows have the same key."""
    assert await index.fingerprints() == LOOKED
    assert (await index.highest_row(), await index.row_count()) == (9, 4)
    assert await index.rows_of([A, B, key("nobody's")]) == {A: [1], B: [2, 9]}
    assert await index.highest_and_rows_of([B]) == (9, {B: [2, 9]})
    assert await index.keys_of([1, 9, 77]) == {A, B}
    assert await index.present() == {A: ONE, B: ONE, C: OTHER}
    assert await index.head(None) == b"head"


async def test_later_look_updates_the_changed_rows(index: StoreIndex) -> None:
    """One of two rows is gone, a record moved to another row, and another is gone."""
    before = await index.cursor()
    blocks = {(0, 0): Block(None, "1"), (0, 3): None, (1, 5): Block(6, "")}
    found = {A: ONE, B: OTHER, C: ABSENT}

    await index.update_rows(RowLook(found, {A: [4], B: [9], C: []}, False, True, blocks=blocks), None)

    assert await index.changed_since(before, None) == {B, C}
    assert await index.rows_of([A, B, C]) == {A: [4], B: [9]}
    assert await index.row_count() == 2
    assert await index.fingerprints() == Fingerprints(
        [128, 1], 500, [{0: Block(None, "1")}, {5: Block(6, "")}]
    )
    assert await index.head(None) is None


async def test_whole_look_replaces_all_rows(index: StoreIndex) -> None:
    await index.update_rows(RowLook({A: ONE}, {A: [1]}, True, False), None)

    assert await index.present() == {A: ONE}
    assert (await index.rows_of([A, B, C]), await index.fingerprints()) == ({A: [1]}, None)


async def test_many_own_writes_require_learning_the_rows(known: PairJournal, index: StoreIndex) -> None:
    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: OTHER, key("new"): ONE})
    asked = [await index.needs_fingerprints(1), await index.needs_fingerprints(2)]

    await index.store_fingerprints(LOOKED, {key("new"): [10, 11]}, await index.cursor())

    assert asked == [True, False]
    assert await index.unlisted() == set()
    assert await index.rows_of([A, key("new")]) == {A: [1], key("new"): [10, 11]}


async def test_store_filled_by_smtd_requires_learning_its_rows(known: PairJournal) -> None:
    """Their fingerprints are not known yet."""
    index = known.indexes.left
    await index.update_rows(RowLook({}, {}, True, True), None)
    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: ONE, B: ONE})

    assert [await index.needs_fingerprints(1), await index.needs_fingerprints(2)] == [True, False]
    assert await index.unlisted() == set()


def test_key_of_several_rows_has_their_common_digest() -> None:
    torn = Entry(State.UNREADABLE, None, "torn")

    def common(*seen: Entry) -> Entry:
        return by_key((A, one) for one in seen)[A]

    assert common(ONE, ONE) == ONE
    assert common(ONE, torn) == torn
    assert common(ONE, OTHER).problem == "two different records have this label"
    assert common(ONE, readable(ONE.digest or b"", final=False)).state is State.UNFINISHED


async def test_overtaken_look_is_repeated_by_the_next_one(known: PairJournal, index: StoreIndex) -> None:
    """The entries of others stay, and the next look reads them and the changed blocks again."""
    since = await index.cursor()
    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: OTHER})
    await index.update_rows(RowLook({A: OTHER}, {A: [1]}, False, True), None)
    await index.store_fingerprints(LOOKED, {}, since)
    look = RowLook({A: ONE, B: OTHER}, {A: [1], B: [2]}, False, True, blocks={(0, 0): Block(9, "1,2")})

    told = await index.update_rows(look, b"head", since=since)

    assert (told, await index.head(None), await index.unlisted()) == (None, None, {A})
    assert await index.entries([A, B]) == {A: OTHER, B: OTHER}
    assert await index.fingerprints() == LOOKED._replace(
        blocks=[{0: Block(None, "1,2"), 3: Block(-8, b"5 130")}, {}]
    )


def busy(began: float, ended: float, **found: Entry) -> RowLook:
    """Return a look between *began* and *ended*, by labels, with programs writing to the store."""
    seen = {key(label): each for label, each in found.items()}
    return RowLook(seen, {each: [1] for each in seen}, False, False, busy=Busy(began, ended))


async def test_record_settles_if_a_later_look_finds_it_unchanged(index: StoreIndex) -> None:
    """Later than the end of the look that found it changed, as that may have read it last."""
    await index.update_rows(busy(100.0, 105.0, a=OTHER), None)
    shown = [await index.unsettled()]
    for began in (105.05, 105.2):
        await index.update_rows(busy(began, began + 3.0, a=OTHER), None)
        shown.append(await index.unsettled())

    assert shown == [{A}, {A}, set()]


async def test_deletion_does_not_wait_for_others_forever(index: StoreIndex) -> None:
    await index.update_rows(busy(100.0, 100.1, a=ABSENT), None)
    await index.update_rows(busy(102.0, 102.1, c=ABSENT), None)

    assert await index.unsettled() == {C}


async def test_record_that_changes_again_after_a_long_pause_may_be_half_saved(index: StoreIndex) -> None:
    """It was unsettled when the daemon stopped, or when the other store became unreachable."""
    await index.update_rows(busy(100.0, 100.1, a=OTHER), None)
    await index.update_rows(busy(5000.0, 5000.1, a=ABSENT), None)

    assert await index.unsettled() == {A}


async def test_clock_set_back_neither_settles_a_record_nor_blocks_it(index: StoreIndex) -> None:
    await index.update_rows(busy(5000.0, 5000.1, a=OTHER), None)
    await index.update_rows(busy(100.0, 100.1, a=OTHER), None)
    shown = await index.unsettled()
    await index.update_rows(busy(100.3, 100.4, a=OTHER), None)

    assert (shown, await index.unsettled()) == ({A}, set())


@pytest.mark.parametrize("quiet", [True, False])
async def test_look_settles_no_record_that_another_look_has_seen_change(
    index: StoreIndex, quiet: bool
) -> None:
    """The other look, of another process, began later and was stored first."""
    since = await index.cursor()
    await index.update_rows(busy(100.0, 100.1, a=OTHER), None)
    look = busy(99.0, 110.0, a=ONE)
    await index.update_rows(look._replace(busy=None) if quiet else look, None, since=since)

    assert await index.unsettled() == {A}
    assert (await index.entries([A]))[A] == OTHER


async def test_look_at_an_idle_store_settles_all_records(index: StoreIndex) -> None:
    await index.update_rows(busy(100.0, 100.1, a=OTHER, b=ABSENT), None)
    await index.update_rows(RowLook({}, {}, False, True), None)

    assert await index.unsettled() == set()


async def test_record_that_another_pair_has_settled_meanwhile_does_not_change_again(
    index: StoreIndex,
) -> None:
    await index.update_rows(busy(100.0, 100.1, a=OTHER), None)

    first, second = await index.settle(100.3), await index.settle(100.6)

    assert (await index.unsettled(), second) == (set(), first)
    assert await index.changed_since(first, None) == set()
