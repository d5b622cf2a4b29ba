"""Reasons carry their values and their cause to whoever writes them down or shows them."""

from __future__ import annotations

from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side

CAUSE = because(Code.ALL_GONE, Side.LEFT)


def test_reason_has_its_code_side_values_and_cause():
    reason = because(Code.MANY_GONE, Side.RIGHT, 21, "words", cause=CAUSE)

    assert (reason.code, reason.side, reason.values, reason.cause) == (
        Code.MANY_GONE,
        Side.RIGHT,
        (21, "words"),
        CAUSE,
    )


def test_reason_without_values_has_its_cause():
    assert because(Code.MANY_GONE, Side.RIGHT, cause=CAUSE).cause == CAUSE
    assert because(Code.MANY_GONE, Side.RIGHT).cause is None


def test_text_in_a_reason_can_be_encoded():
    """A lone surrogate, as in a file name that is not Unicode, is escaped."""
    (text,) = because(Code.UNUSABLE, None, "before \udcff after").values

    assert str(text).encode()
    assert str(text).startswith("before ")
    assert str(text).endswith(" after")


def test_mirrored_reason_has_the_other_side_and_so_has_its_cause():
    mirrored = because(Code.MANY_GONE, Side.RIGHT, 21, cause=CAUSE).mirrored

    assert (mirrored.side, mirrored.values) == (Side.LEFT, (21,))
    assert mirrored.cause == because(Code.ALL_GONE, Side.RIGHT)
