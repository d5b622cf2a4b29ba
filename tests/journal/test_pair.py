"""What the journal knows of one pair: agreed, begun, overwritten, written, quiet."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import anyio
import pytest

from smtd.errors import RecordUnusable
from smtd.journal.record_codec import unpack
from smtd.journal.values import Agreement, Landed
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import digest
from smtd.records.record import Component
from tests.build import change, full, key, record, tagged
from tests.journal.noting import agreement, note

A, B, C = record("a"), record("b"), record("c")


@pytest.fixture
def rows(tmp_path):
    """A look at the journal file from outside, as after a crash."""

    def look(query):
        with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
            return db.execute(query).fetchall()

    return look


def update(before, after, *, side=Side.RIGHT, origin=None):
    """Return the intent to write *after* over *before*."""
    return Write(
        key((before or after).label),
        side,
        None if before is None else digest(before),
        None if after is None else digest(after),
        because(Code.CHANGED, side.other),
        None,
        before,
        origin,
    )


async def test_new_pair_knows_nothing(known):
    """A pair starts with nothing agreed, begun, written or remembered."""
    assert await known.agreed(None) == {}
    assert await known.ancestor(key("a")) is None
    assert await known.begun() == []
    assert await known.write_log.all(Side.LEFT) == {}
    assert await known.checkpoints.get() is None
    assert not await known.has_agreed()


async def test_pair_that_agreed_on_anything_has_agreed(known):
    """One record is enough, and none is none again."""
    await note(known, agreements=[agreement(A)])
    before = await known.has_agreed()
    await note(known, forgotten=[key("a")])

    assert (before, await known.has_agreed()) == (True, False)


async def test_agreement_is_known_per_side_and_replaced(known):
    """Each side has a digest of its own; the last agreement counts."""
    await note(known, agreements=[agreement(A), agreement(B)])
    await note(known, agreements=[Agreement(key("a"), Both(b"left", b"right"), tagged(A, "x"))])

    assert await known.agreed(None) == {key("a"): Both(b"left", b"right"), key("b"): agreement(B).digests}
    assert await known.ancestor(key("a")) == tagged(A, "x")


async def test_agreement_is_given_of_the_projects_asked_for(known):
    """A cycle of some projects knows of these only."""
    await note(known, agreements=[agreement(A), agreement(A, "Other")])

    assert set(await known.agreed({"Other"})) == {key("a", "Other")}
    assert set(await known.agreed(None)) == {key("a"), key("a", "Other")}
    assert await known.agreed(set()) == {}


async def test_forgotten_key_is_gone_whole(known):
    """Of a record that both sides deleted nothing but history is left."""
    await note(
        known, agreements=[agreement(A), agreement(B)], landed=[Landed(key("a"), Side.LEFT, None, digest(A))]
    )
    await note(known, forgotten=[key("a")])

    assert set(await known.agreed(None)) == {key("b")}
    assert await known.ancestor(key("a")) is None
    assert await known.write_log.all(Side.LEFT) == {}


async def test_cycles_are_numbered(known):
    """Every cycle has a number of its own, and they grow."""
    first, second = await known.begin_cycle(), await known.begin_cycle()

    assert 0 < first < second


async def test_intents_are_durable_with_what_they_overwrite(known, rows):
    """Another reader of the file sees intent and before-image at once."""
    cycle = await known.begin_cycle()
    await known.intend(cycle, [update(A, tagged(A, "x")), update(None, B), update(C, None, side=Side.LEFT)])

    assert rows("SELECT label, side, result FROM intent ORDER BY label") == [
        ("a", "right", digest(tagged(A, "x"))),
        ("b", "right", digest(B)),
        ("c", "left", None),
    ]
    assert [
        (*row[:-1], unpack(row[-1]))
        for row in rows("SELECT cycle, side, label, action, record FROM history WHERE record IS NOT NULL")
    ] == [(cycle, "right", "a", "update", A), (cycle, "left", "c", "delete", C)]


async def test_begun_writes_are_known_until_they_ended(known):
    """What a crash leaves is found with side, result and origin; what ended is not."""
    merged = tagged(A, "x", "y")
    await known.intend(
        await known.begin_cycle(),
        [
            update(tagged(A, "x"), merged, side=Side.LEFT, origin=tagged(A, "y")),
            update(tagged(A, "y"), merged, side=Side.RIGHT, origin=tagged(A, "x")),
            update(None, B),
            update(C, None),
        ],
    )
    await note(known, ended=[key("b")])

    found = {(each.key.label, each.side): (each.digest, each.origin) for each in await known.begun()}
    assert found == {
        ("a", Side.LEFT): (digest(merged), tagged(A, "y")),
        ("a", Side.RIGHT): (digest(merged), tagged(A, "x")),
        ("c", Side.RIGHT): (None, None),
    }


async def test_intents_of_unusable_records_leave_nothing_behind(known, rows):
    """A batch of intents is written whole or not at all."""
    unusable = change(B, launch_mode=Component("SerialLaunchMode", {"x": 2**70}))

    with pytest.raises(RecordUnusable):
        await known.intend(await known.begin_cycle(), [update(A, None), update(unusable, A)])

    assert (rows("SELECT * FROM intent"), rows("SELECT * FROM history")) == ([], [])


async def test_advance_of_unusable_records_leaves_all_as_it_was(known):
    """An advance is one step: agreements, ends and landings together, or none of them."""
    await known.intend(await known.begin_cycle(), [update(None, A)])
    unusable = change(B, launch_mode=Component("SerialLaunchMode", {"x": 2**70}))

    with pytest.raises(RecordUnusable):
        await note(known, agreements=[agreement(A), agreement(unusable)], ended=[key("a")])

    assert await known.agreed(None) == {}
    assert [each.key for each in await known.begun()] == [key("a")]


async def test_cancelled_advance_is_whole_or_did_not_happen(known):
    """A cancellation leaves no open transaction: the next method works, and sees all or nothing."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await note(known, agreements=[agreement(A), agreement(B)])

    assert len(await known.agreed(None)) in (0, 2)
    await note(known, agreements=[agreement(C)])
    assert key("c") in await known.agreed(None)


async def test_full_record_comes_back_whole(known):
    """The ancestor has every field that the record had."""
    await note(known, agreements=[agreement(full())])

    assert await known.ancestor(key("full")) == full()


async def test_many_agreements_are_kept_at_once(known):
    """A thousand records are one step."""
    many = [record(f"run-{number}") for number in range(1000)]

    await note(known, agreements=[agreement(each) for each in many])

    assert len(await known.agreed(None)) == 1000


async def test_labels_and_projects_may_be_any_text(known):
    """Names with quotes, line breaks or other alphabets are keys like any other."""
    strange = [record(label) for label in ("it's", '"', "a\nb", "é ñ", "%", "")]

    await note(known, agreements=[agreement(each, each.label) for each in strange])

    assert set(await known.agreed(None)) == {key(each.label, each.label) for each in strange}
    assert [await known.ancestor(key(each.label, each.label)) for each in strange] == strange


async def test_files_of_the_stores_are_remembered(known):
    """Nothing tells them before the first cycle."""
    before = await known.store_marks()
    await known.set_store_marks(Both("1", "2"))
    await known.set_store_marks(Both("1", "2"))

    assert (before, await known.store_marks()) == (Both("", ""), Both("1", "2"))


async def test_no_intents_are_nothing(known, rows):
    """A cycle that writes nothing leaves nothing in the history, and no seal."""
    before = rows("SELECT * FROM seal")

    await known.intend(await known.begin_cycle(), [])

    assert (rows("SELECT * FROM history"), rows("SELECT * FROM seal")) == ([], before)


async def test_history_tells_where_others_have_made_records(known):
    """What was agreed on, and was not made by smtd on that side, is theirs; of what is older nobody knows."""
    await known.intend(await known.begin_cycle(), [update(None, A)])
    await note(known, agreements=[agreement(A), agreement(B, "Other")])
    before = [await known.made_by_others(side) for side in (Side.RIGHT, Side.LEFT)]
    await known.history.prune(timedelta(days=-1), 10**9)
    await known.intend(await known.begin_cycle(), [update(None, C)])

    assert before == [{"Other"}, {"MyProject", "Other"}]
    assert await known.made_by_others(Side.RIGHT) == set()


async def test_files_are_known_with_what_was_agreed(known):
    """In one transaction: no crash comes between."""
    await note(known, agreements=[agreement(A)], files=Both("1:2", "3:4"))
    await note(known, agreements=[agreement(B)])

    assert await known.store_marks() == Both("1:2", "3:4")
