"""The index of a store: its entries, the sequence of their changes, and the token that fits them."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import pytest

from smtd.errors import Nameless
from smtd.journal import backup
from smtd.journal.entries import MANY
from smtd.journal.index import NEWEST, Cursor, RecordCount, StoreIndex
from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.merge.sides import Side
from smtd.records.canonical import digest
from smtd.records.record import Key
from smtd.stores.base import Scan
from smtd.stores.index import ABSENT, Entry, State, entries, readable, scan
from tests.build import PROJECT, key, record, tagged

A, B, C = key("a"), key("b"), key("c")
ONE, OTHER = (
    readable(digest(record("a")), final=True),
    readable(digest(tagged(record("a"), "x")), final=False),
)
TORN = Entry(State.UNREADABLE, None, "torn")
NO_TEXT = Key("bad\udcff", "\udcfe")
ELSEWHERE = key("a", "Other")


@pytest.fixture
def index(known: PairJournal) -> StoreIndex:
    """The index of the left store of a pair."""
    return known.indexes.left


async def known_at(look: Awaitable[Cursor | None]) -> Cursor:
    """Return the cursor after a *look* during which no other process looked."""
    cursor = await look
    assert cursor is not None
    return cursor


async def test_unknown_pair_has_empty_indexes(tmp_path: Path) -> None:
    """The journal has nothing about its stores."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right") as known:
        nobody = StoreIndex(known._db, "nowhere")

        assert (await nobody.cursor(), await nobody.present()) == (Cursor(0, 0), {})


async def test_newest_records_are_those_that_changed_last(index: StoreIndex) -> None:
    """Of records that changed together, larger labels come first; deleted ones are left out."""
    await index.update({A: ONE, B: ONE, C: ONE, ELSEWHERE: TORN}, None, None, whole=True)
    await index.update({B: OTHER, C: ABSENT}, None, None, whole=False)
    await index.note_reads([A], 5.0, 4.0)

    assert [*(await index.newest(None)).items()] == [(B, None), (A, 5.0), (ELSEWHERE, None)]
    assert [*await index.newest({PROJECT})] == [B, A]
    assert await index.reread_at() == 4.0


@pytest.mark.parametrize("projects", [None, {PROJECT}])
async def test_newest_records_are_at_most_a_hundred(index: StoreIndex, projects: set[str] | None) -> None:
    """However many there are."""
    many = {key(f"run-{number:03}"): ONE for number in range(NEWEST + 1)}
    await index.update(many, None, None, whole=True)

    assert [*await index.newest(projects)] == sorted(many, reverse=True)[:NEWEST]


async def test_time_of_the_last_read_survives_a_change(index: StoreIndex) -> None:
    """A store without rereads has none."""
    await index.update({A: ONE}, None, None, whole=True)
    assert await index.reread_at() is None
    await index.note_reads([A], 5.0, None)
    await index.update({A: OTHER}, None, None, whole=True)

    assert (await index.newest(None), await index.reread_at()) == ({A: 5.0}, None)


async def test_whole_look_is_stored(index: StoreIndex) -> None:
    found = {A: ONE, B: OTHER, C: TORN, NO_TEXT: ONE, ELSEWHERE: ONE}

    await index.update(found, None, b"head", whole=True)

    assert await index.present() == found
    assert await index.present({PROJECT}) == {A: ONE, B: OTHER, C: TORN}
    assert await index.entries([A, C, key("nobody's")]) == {A: ONE, C: TORN}
    assert await index.record_counts(None) == {
        PROJECT: RecordCount(2, 1),
        "Other": RecordCount(1, 0),
        "bad\udcff": RecordCount(1, 0),
    }
    assert {name: each.records for name, each in (await index.record_counts({PROJECT})).items()} == {
        PROJECT: 3
    }
    assert (await index.head(None), await index.head({PROJECT})) == (b"head", None)


async def test_change_gets_the_next_number(index: StoreIndex) -> None:
    """Unchanged entries keep theirs."""
    before = await known_at(index.update({A: ONE, B: ONE, ELSEWHERE: ONE}, None, None, whole=True))

    after = await known_at(index.update({A: ONE, B: OTHER, ELSEWHERE: OTHER}, None, None, whole=True))

    assert after == Cursor(before.epoch, before.seq + 1)
    assert await index.changed_since(before, None) == {B, ELSEWHERE}
    assert await index.changed_since(before, {PROJECT}) == {B}
    assert await index.changed_since(after, None) == set()


async def test_look_without_a_change_uses_no_number(index: StoreIndex) -> None:
    before = await known_at(index.update({A: ONE}, None, b"1", whole=True))

    after = await known_at(index.update({A: ONE}, None, b"2", whole=True))

    assert (after, await index.head(None)) == (before, b"2")


async def test_absence_is_a_change_like_any_other(index: StoreIndex) -> None:
    """It is an entry until the record exists again."""
    first = await known_at(index.update({A: ONE, B: ONE}, None, None, whole=True))
    second = await known_at(index.update({B: ONE}, None, None, whole=True))
    gone = await index.entries([A])
    await index.update({A: ONE}, None, None, whole=False)

    assert await index.changed_since(first, None) == {A}
    assert gone == {A: ABSENT}
    assert await index.changed_since(second, None) == {A}
    assert await index.present() == {A: ONE, B: ONE}
    assert await index.record_counts(None) == {PROJECT: RecordCount(2, 0)}


async def test_look_at_one_project_leaves_the_entries_of_others(index: StoreIndex) -> None:
    await index.update({A: ONE, ELSEWHERE: ONE}, None, None, whole=True)

    await index.update({}, {"Other"}, None, whole=True)

    assert await index.present() == {A: ONE}


async def test_partial_look_leaves_all_other_entries(index: StoreIndex) -> None:
    await index.update({A: ONE, B: ONE}, None, b"head", whole=True)

    await index.update({B: ABSENT, C: TORN, key("never there"): ABSENT}, None, None, whole=False)

    assert await index.present() == {A: ONE, C: TORN}
    assert await index.entries([key("never there")]) == {}
    assert await index.head(None) is None


async def test_query_for_many_keys_gives_the_same_as_for_few(index: StoreIndex) -> None:
    found = {key(f"run-{number}"): ONE for number in range(MANY + 1)}
    await index.update(found, None, None, whole=True)

    assert await index.entries(list(found)) == await index.entries(found.keys()) == found
    assert await index.entries(list(found)[:1000]) == dict(list(found.items())[:1000])


async def test_head_from_before_an_own_write_is_void(known: PairJournal) -> None:
    """If the store has that token again, it was restored, and lacks smtd's write."""
    index = known.indexes.left
    await index.update({A: ONE}, None, b"head", whole=True)
    async with known.transaction() as tx:
        tx.set_head(Side.LEFT, {PROJECT}, b"head", await index.cursor())

    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: OTHER})

    assert (await index.head(None), await index.head({PROJECT})) == (None, None)


async def test_own_write_after_a_change_by_others_does_not_move_the_cursor(
    known: PairJournal, index: StoreIndex
) -> None:
    """Otherwise the pair would miss that change."""
    cursor = await known_at(index.update({A: ONE}, None, None, whole=True))
    await StoreIndex(known._db, "left").update({B: ONE}, None, None, whole=False)

    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: OTHER})

    assert index.advanced(cursor) == cursor
    assert await index.changed_since(cursor, None) == {A, B}


async def test_pairs_with_a_common_store_share_its_index(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as known:
            await known.indexes.left.update({A: ONE}, None, b"head", whole=True)
        async with journal.pair("another", "left") as known:
            assert await known.indexes.right.present() == {A: ONE}
            assert await known.indexes.left.present() == {}


async def test_restored_journal_has_no_indexes(known: PairJournal) -> None:
    """The stores have changed since."""
    before = await known_at(known.indexes.left.update({A: ONE}, None, b"head", whole=True))

    await backup.disown(known._db)

    assert (await known.indexes.left.present(), await known.indexes.left.head(None)) == ({}, None)
    assert (await known.indexes.left.cursor()).epoch != before.epoch


def test_entries_equal_the_scan_that_they_came_from() -> None:
    """And give an equal scan."""
    unreadable = {C: "torn", NO_TEXT: Nameless("it has no name")}
    found = Scan({A: digest(record("a")), B: digest(record("b"))}, {B}, unreadable)

    again = scan(entries(found), believed={A})

    assert again == Scan(found.digests, found.unfinished, found.unreadable, believed={A})
    assert again.believed == {A}
    assert again.nameless == {"bad\udcff"}
    assert [each.is_readable for each in entries(found).values()].count(True) == 2


async def test_head_of_projects_is_void_once_another_look_has_changed_their_entries(
    index: StoreIndex,
) -> None:
    """If the store has that token again (a directory was moved away and back), the entries do not fit it."""
    await index.update({A: ONE}, {PROJECT}, b"mine", whole=True)
    await index.update({ELSEWHERE: ONE}, {"Other"}, b"other", whole=True)

    await index.update({A: OTHER, ELSEWHERE: ONE}, None, b"all", whole=True)

    heads = [await index.head(scope) for scope in (None, {PROJECT}, {"Other"})]
    assert heads == [b"all", None, b"other"]


async def test_overtaken_look_leaves_the_entries_of_others(known: PairJournal, index: StoreIndex) -> None:
    """And stores no token: smtd does not know which of both looks was later."""
    await index.update({A: ONE, C: ONE}, None, None, whole=True)
    since = await index.cursor()
    async with known.transaction() as tx:
        tx.note(Side.LEFT, {A: OTHER, ELSEWHERE: ONE})

    told = await index.update({A: ONE, B: ONE}, None, b"head", whole=True, since=since)

    assert (told, await index.head(None)) == (None, None)
    assert await index.present() == {A: OTHER, B: ONE, ELSEWHERE: ONE}
