"""The journal names the sides of a pair in one order; a caller with the other order does not notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.journal.checkpoint import Checkpoint, Rotation
from smtd.journal.decisions import Choice, Decision
from smtd.journal.index import Cursor
from smtd.journal.journal import open_journal
from smtd.journal.orientation import STRAIGHT, Orientation
from smtd.journal.pair import PairJournal, Refusal
from smtd.journal.transaction import Baseline
from smtd.journal.write_log import Landed
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import digest
from tests.build import key, record, tagged
from tests.journal.noting import note

A, B = record("a"), tagged(record("a"), "x")
DIGESTS = Both(digest(A), digest(B))
NEW = because(Code.NEW, Side.LEFT)
MIRRORED = Orientation(mirrored=True)


async def tell(known: PairJournal) -> None:
    """Store something of each kind that names sides."""
    cycle = await known.begin_cycle()
    intent = Write(key("a"), Side.RIGHT, digest(B), digest(A), NEW, A, B, A)
    entry = await known.intend(cycle, [intent])
    await note(
        known,
        baselines=[Baseline(key("a"), DIGESTS, A)],
        landed=[Landed(key("a"), Side.RIGHT, digest(B), digest(A))],
        entries=[entry],
        files=Both("file 1", "file 2"),
    )
    await known.set_refused(
        [Refusal(key("b"), Side.LEFT, b"1", 2, 3.0, because(Code.REFUSED, Side.LEFT, "no"))]
    )
    await known.checkpoints.set_rotation(Side.LEFT, Rotation(key("a"), 1.0))
    held = because(Code.MANY_GONE, Side.LEFT, 30, 100)
    await known.decisions.put(
        [
            Decision(key("c"), Choice.LEFT, DIGESTS),
            Decision(key("d"), Choice.BOTH, DIGESTS, "d-2", None, Side.LEFT),
            Decision(key("e"), Choice.HELD, Both(None, digest(A)), why=held),
        ]
    )
    checkpoint = Checkpoint(Both(Cursor(1, 2), Cursor(3, 4)), None, "policy", b"report")
    async with known.transaction() as tx:
        tx.save(checkpoint, [key("c")])


async def cursors(known: PairJournal) -> Both[object]:
    """Return the cursors of the checkpoint."""
    checkpoint = await known.checkpoints.get()
    assert checkpoint is not None
    return Both(checkpoint.cursors.left, checkpoint.cursors.right)


async def told(known: PairJournal, *, mirrored: bool) -> list[object]:
    """Return all of that, with the sides exchanged if the caller names them the other way round."""

    def both(found: Both[object]) -> Both[object]:
        return found.swapped if mirrored else found

    def side(found: Side) -> Side:
        return found.other if mirrored else found

    def reason(found: Reason | None) -> Reason | None:
        return found.mirrored if mirrored and found else found

    (begun,), (entry,) = await known.begun(), await known.history.entries()
    decisions = await known.decisions.all()
    refused = {
        (name, side(where)): (each.attempts, reason(each.reason))
        for (name, where), each in (await known.refused()).items()
    }
    left = Side.RIGHT if mirrored else Side.LEFT
    return [
        {name: both(found) for name, found in (await known.baselines(None)).items()},
        {name: both(found) for name, found in (await known.baselines_of([key("a")])).items()},
        both(await known.store_marks()),
        both(await cursors(known)),
        (side(begun.side), begun.expect, begun.digest, reason(begun.why)),
        (side(entry.side), entry.action, reason(entry.reason)),
        refused,
        await known.checkpoints.rotation(left),
        await known.checkpoints.rotation(left.other),
        [
            [(each.before, each.after) for each in writes]
            for writes in (await known.write_log.all(left.other)).values()
        ],
        await known.write_log.all(left),
        await known.made_by_others(left),
        [both(each.digests) for each in decisions.values()],
        [reason(each.why) for each in decisions.values()],
        side(decisions[key("d")].aliased),
    ]


@pytest.mark.parametrize("mirrored", [False, True], ids=["in the same order", "in the other order"])
async def test_caller_with_exchanged_sides_reads_the_same(tmp_path: Path, mirrored: bool) -> None:
    """It gets what was stored for each side, by whatever name."""
    names = ("right", "left") if mirrored else ("left", "right")
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as known:
            await tell(known)
            before = await told(known, mirrored=False)
            choice = (await known.decisions.all())[key("c")].choice
        async with journal.pair(*names) as other:
            after = await told(other, mirrored=mirrored)
            turned = (await other.decisions.all())[key("c")].choice
            checkpoint = await other.checkpoints.get()

    assert after == before
    assert (choice, turned) == (Choice.LEFT, Choice.RIGHT if mirrored else Choice.LEFT)
    assert checkpoint is not None
    assert checkpoint.report == (None if mirrored else b"report")


async def test_data_of_a_caller_with_exchanged_sides_is_stored_in_the_first_order(tmp_path: Path) -> None:
    """A caller with the first order reads it correctly."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right"):
            pass
        async with journal.pair("right", "left") as other:
            await tell(other)
            expected = await told(other, mirrored=False)
        async with journal.pair("left", "right") as known:
            found = await told(known, mirrored=True)

    assert found == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("new on the left", because(Code.NEW, Side.LEFT)),
        ("changed on the right", because(Code.CHANGED, Side.RIGHT)),
        ("deleted on the left", because(Code.DELETED, Side.LEFT)),
        ("conflict: the right side wins (newest)", because(Code.NEWEST_RUN, Side.RIGHT)),
        ("conflict: the left side wins (left)", because(Code.SIDE_PREFERRED, Side.LEFT)),
        ("the left store cannot hold it: too\nlong", because(Code.REFUSED, Side.LEFT, "too\nlong")),
        (
            "the right store keeps it otherwise than written: user",
            because(Code.ALTERED, Side.RIGHT, "user"),
        ),
        (
            "the left store reported success, but still shows the record as it was before; smtd tries again",
            because(Code.STILL_AS_BEFORE, Side.LEFT),
        ),
        (
            "the left store reported success, but still has the record; smtd tries again",
            because(Code.STILL_THERE, Side.LEFT),
        ),
        (
            "the left store reported success, but does not have the record; smtd tries again",
            because(Code.NOT_THERE, Side.LEFT),
        ),
        ("cycle 7 was undone", because(Code.CYCLE_UNDONE, None, "7")),
        ("30 of 100 records are gone at once", because(Code.MANY_GONE, None, "30", "100")),
        (
            "none of the records of P that it held before is there any more",
            because(Code.PROJECT_GONE, None, "P"),
        ),
        ("none of the records that it held before is there any more", because(Code.ALL_GONE)),
        ("both sides changed it: merged", because(Code.TEXT, None, "both sides changed it: merged")),
        ("{no json", because(Code.TEXT, None, "{no json")),
    ],
)
def test_sentence_of_an_earlier_smtd_is_read_as_a_reason(text: str, why: Reason) -> None:
    """With its side, so that it is right in either order."""
    assert STRAIGHT.reason(text) == why
    assert MIRRORED.reason(text) == why.mirrored


@pytest.mark.parametrize("orientation", [STRAIGHT, MIRRORED])
def test_reason_is_read_as_it_was_stored(orientation: Orientation) -> None:
    """With its cause; what cannot be encoded is escaped."""
    why = because(Code.REFUSED_BEFORE, Side.LEFT, 3, "\udc80", cause=because(Code.REFUSED, Side.LEFT, "a"))

    assert orientation.reason(orientation.text(why)) == why
