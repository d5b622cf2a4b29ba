"""A user can decide what `smtd sync` leaves undone without a daemon."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from anyio import to_thread

from smtd.merge.sides import SIDES, Side
from tests.build import commented, full, key, record
from tests.command import Smtd
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace


@pytest.fixture
def pair(tmp_path: Path) -> RealPair:
    left, right = DjangoPlace(tmp_path / "left.sqlite"), DjangoPlace(tmp_path / "right.sqlite")
    return RealPair(tmp_path / "state", left, right)


@pytest.mark.parametrize(
    ("words", "rule", "version"),
    [("left right", "left", "1111"), ("left right", "right", "2222"), ("right left", "left", "2222")],
)
async def test_conflict_is_resolved_by_a_rule(
    pair: RealPair, smtd: Smtd, words: str, rule: str, version: str
) -> None:
    """The message names the rules, and each of them works; left is what the user calls left."""
    await pair.left.put(record("run", version="1111"))
    await pair.right.put(record("run", version="2222"))
    first = await pair.by(smtd)

    sides = [pair.places[Side(word)].location.path for word in words.split()]
    told = partial(smtd, "sync", "--state", pair.directory, *sides, "--conflicts", rule)
    answer = await to_thread.run_sync(told)

    assert (first.code, answer.code) == (1, 0)
    assert (
        "conflict: MyProject/run: both sides changed version; make the two records equal, delete one of them,"
        " or sync again with --conflicts left, right or newest; with a running daemon, use smtd resolve"
    ) in first.out
    assert [(await pair.records(side))[key("run")].version for side in SIDES] == [version] * 2
    assert len(pair.journal("SELECT id FROM history WHERE record IS NOT NULL")) == 1


async def test_held_deletion_is_decided_by_a_comment_or_a_deletion(pair: RealPair, smtd: Smtd) -> None:
    """The message names both, and the store in which to do it."""
    runs = [full("keep"), full("drop")]
    await pair.synced(runs)
    for one in runs:
        await pair.left.remove(one.label)
    first = await pair.by(smtd)

    await pair.right.put(commented(runs[0], "still needed"))
    await pair.right.remove("drop")
    answer = await pair.by(smtd)

    assert (first.code, answer.code) == (1, 0)
    assert (
        "to keep it, bring the left store back, comment on it in the right store, or run smtd deletes"
    ) in first.out
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == {"keep"}
