"""What the journal has about the scrubs of one pair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.journal.scrub_log import ScrubProgress
from smtd.journal.transaction import Baseline
from smtd.merge.sides import Both
from smtd.records import canonical
from smtd.records.record import Key
from tests.build import key, record
from tests.journal.noting import note

KEYS = [Key("A", "two"), Key("B", "one"), Key("B", "two"), Key("C", "one")]


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[PairJournal]:
    """The journal of a pair that agrees on KEYS, beside one that agrees on more."""
    digests = Both(b"digest", b"digest")
    async with open_journal(tmp_path) as journal:
        for right, keys in (("right", KEYS), ("other", [*KEYS, Key("A", "one")])):
            async with journal.pair("left", right) as pair:
                await note(pair, baselines=[Baseline(each, digests, record(each.label)) for each in keys])
        found = await journal.known("left", "right")
        assert found is not None
        yield found


async def test_pair_that_was_never_scrubbed_has_no_findings(known: PairJournal) -> None:
    """And no progress."""
    assert await known.scrub_log.round() is None
    assert await known.scrub_log.found() == []


async def test_progress_and_findings_of_a_scrub_are_stored(known: PairJournal) -> None:
    """The last ones count."""
    for now in (ScrubProgress(1.0), ScrubProgress(2.0, key("a"), 7, 1.0)):
        await known.scrub_log.note(now, [key("b"), key("a")] if now.counted else [key("c")])

        assert await known.scrub_log.round() == now
    assert await known.scrub_log.found() == [key("a"), key("b")]


async def test_scrub_gets_the_next_keys_in_order(known: PairJournal) -> None:
    """Of this pair, and of the requested projects."""
    proofs = known.scrub_log
    few = frozenset({"A", "C"})

    assert await proofs.following(None, 3, None) == KEYS[:3]
    assert await proofs.following(KEYS[2], 3, None) == KEYS[3:]
    assert await proofs.following(None, 9, few) == [KEYS[0], KEYS[3]]
    assert (await known.baseline_count(None), await known.baseline_count(few)) == (4, 2)


async def test_pair_can_be_read_while_it_is_locked(tmp_path: Path) -> None:
    """With its sides in either order, if its digests have this version."""
    async with open_journal(tmp_path) as journal, journal.pair("left", "right"):
        assert await journal.known("left", "right") is not None
        assert await journal.known("right", "left") is not None
        assert await journal.known("left", "third") is None


async def test_scrub_is_dropped_with_the_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was verified with other digests does not count."""
    async with open_journal(tmp_path) as journal:
        async with journal.pair("left", "right") as pair:
            await pair.scrub_log.note(ScrubProgress(1.0), [key("a")])
        monkeypatch.setattr(canonical, "VERSION", canonical.VERSION + 1)
        assert await journal.known("left", "right") is None
        async with journal.pair("left", "right") as pair:
            assert (await pair.scrub_log.round(), await pair.scrub_log.found()) == (None, [])
