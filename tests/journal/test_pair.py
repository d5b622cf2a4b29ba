"""What the journal has about one pair: baselines, open intents, history, write log, checkpoint."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import anyio
import pytest

from smtd.errors import RecordUnusable
from smtd.journal.record_codec import unpack
from smtd.journal.transaction import Baseline
from smtd.journal.write_log import Landed
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import digest
from smtd.records.record import Component
from tests.build import change, key, record, tagged
from tests.journal.noting import baseline, note

A, B, C = record("a"), record("b"), record("c")


@pytest.fixture
def rows(tmp_path):
    """A query of the journal file from outside, as after a crash."""

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


async def test_pair_that_agreed_on_anything_has_baselines(known):
    """One record is enough."""
    await note(known, baselines=[baseline(A)])
    before = await known.has_baselines()
    await note(known, forgotten=[key("a")])

    assert (before, await known.has_baselines()) == (True, False)


async def test_baseline_has_a_digest_for_each_side(known):
    """The last baseline counts."""
    await note(known, baselines=[baseline(A), baseline(B)])
    await note(known, baselines=[Baseline(key("a"), Both(b"left", b"right"), tagged(A, "x"))])

    assert await known.baselines(None) == {key("a"): Both(b"left", b"right"), key("b"): baseline(B).digests}
    assert await known.baseline_record(key("a")) == tagged(A, "x")


async def test_baselines_are_read_by_project(known):
    """A cycle of some projects reads only these."""
    await note(known, baselines=[baseline(A), baseline(A, "Other")])

    assert set(await known.baselines({"Other"})) == {key("a", "Other")}
    assert set(await known.baselines(None)) == {key("a"), key("a", "Other")}
    assert await known.baselines(set()) == {}


async def test_dropped_key_leaves_only_history(known):
    """If both sides deleted the record, nothing else is left."""
    await note(
        known, baselines=[baseline(A), baseline(B)], landed=[Landed(key("a"), Side.LEFT, None, digest(A))]
    )
    await note(known, forgotten=[key("a")])

    assert set(await known.baselines(None)) == {key("b")}
    assert await known.baseline_record(key("a")) is None
    assert await known.write_log.all(Side.LEFT) == {}


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


async def test_open_writes_are_listed_until_they_end(known):
    """After a crash, with side, result and origin."""
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


async def test_transaction_with_unusable_records_changes_nothing(known):
    """Baselines, ends and landings are stored together, or none of them."""
    await known.intend(await known.begin_cycle(), [update(None, A)])
    unusable = change(B, launch_mode=Component("SerialLaunchMode", {"x": 2**70}))

    with pytest.raises(RecordUnusable):
        await note(known, baselines=[baseline(A), baseline(unusable)], ended=[key("a")])

    assert await known.baselines(None) == {}
    assert [each.key for each in await known.begun()] == [key("a")]


async def test_cancelled_transaction_is_stored_whole_or_not_at_all(known):
    """A cancellation leaves no open transaction: the next method works."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await note(known, baselines=[baseline(A), baseline(B)])

    assert len(await known.baselines(None)) in (0, 2)
    await note(known, baselines=[baseline(C)])
    assert key("c") in await known.baselines(None)


async def test_labels_and_projects_may_be_any_text(known):
    """Quotes, line breaks and other alphabets are permitted."""
    strange = [record(label) for label in ("it's", '"', "a\nb", "é ñ", "%", "")]

    await note(known, baselines=[baseline(each, each.label) for each in strange])

    assert set(await known.baselines(None)) == {key(each.label, each.label) for each in strange}
    assert [await known.baseline_record(key(each.label, each.label)) for each in strange] == strange


async def test_marks_of_the_stores_are_stored(known):
    """Before the first cycle there are none."""
    before = await known.store_marks()
    await known.set_store_marks(Both("1", "2"))
    await known.set_store_marks(Both("1", "2"))

    assert (before, await known.store_marks()) == (Both("", ""), Both("1", "2"))


async def test_cycle_without_writes_leaves_no_history(known, rows):
    """And no seal."""
    before = rows("SELECT * FROM seal")

    await known.intend(await known.begin_cycle(), [])

    assert (rows("SELECT * FROM history"), rows("SELECT * FROM seal")) == ([], before)


async def test_history_shows_projects_with_records_of_others(known):
    """Records with a baseline that smtd did not create on that side. Older ones do not count."""
    await known.intend(await known.begin_cycle(), [update(None, A)])
    await note(known, baselines=[baseline(A), baseline(B, "Other")])
    before = [await known.made_by_others(side) for side in (Side.RIGHT, Side.LEFT)]
    await known.history.prune(timedelta(days=-1), 10**9)
    await known.intend(await known.begin_cycle(), [update(None, C)])

    assert before == [{"Other"}, {"MyProject", "Other"}]
    assert await known.made_by_others(Side.RIGHT) == set()


async def test_marks_are_stored_with_the_baselines(known):
    """In one transaction: no crash comes between."""
    await note(known, baselines=[baseline(A)], files=Both("1:2", "3:4"))
    await note(known, baselines=[baseline(B)])

    assert await known.store_marks() == Both("1:2", "3:4")
