"""Every reason has a sentence with its side and values."""

from __future__ import annotations

import pytest

from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from smtd.output.english import next_step, sentence

CAUSE = because(Code.CHANGED, Side.LEFT)
KNOWN = {"fields": "version", "pair": "lab"}


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_every_reason_has_a_sentence(code: Code) -> None:
    """No placeholder is left in it, nor in the next step."""
    why = because(code, Side.RIGHT, "one", "two", cause=CAUSE)

    texts = sentence(why, **KNOWN), next_step(why, **KNOWN)

    assert texts[0] != ""
    assert not {"{", "}"} & {*"".join(texts)}


def test_sentence_has_the_side_the_values_and_the_cause() -> None:
    """Unchanged, whatever a store says in them."""
    refused = because(Code.REFUSED, Side.LEFT, "{other} is no {0}")

    assert sentence(refused) == "the left store cannot hold it: {other} is no {0}"
    assert sentence(because(Code.HELD, cause=refused)) == f"held: {sentence(refused)}"
    assert sentence(because(Code.ALTERED, Side.RIGHT, "version", "diff")) == (
        "the right store stored something different: version, diff"
    )


def test_held_deletion_names_the_side_that_lost_and_the_one_that_kept() -> None:
    """Each in its place."""
    why = because(Code.MANY_GONE, Side.RIGHT, 30, 100)

    assert sentence(why) == "deletion held: 30 of 100 records disappeared from the right store within minutes"
    assert next_step(why).startswith(
        "to keep it, bring the right store back, comment on it in the left store, or"
    )
