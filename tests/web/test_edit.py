"""A form that meets the edit of somebody else."""

from __future__ import annotations

import pytest

from smtd.web.forms import Form
from smtd.web.records import edit
from smtd.web.records.edit import AnnotationTexts, merged, sent, shown, texts_of
from tests.build import record, tagged

BEFORE = AnnotationTexts("why", "so", frozenset({"a", "b"}))


def test_edits_of_different_fields_both_survive() -> None:
    """The one that was stored first, and that of the form."""
    found = merged(shown(BEFORE), BEFORE._replace(reason="new"), BEFORE._replace(outcome="other"))

    assert found.texts == AnnotationTexts("new", "other", BEFORE.tags)
    assert not found.conflicts


def test_tags_of_both_survive_and_removed_ones_do_not() -> None:
    """Tags are merged one by one."""
    found = merged(
        shown(BEFORE),
        BEFORE._replace(tags=frozenset({"b", "mine"})),
        BEFORE._replace(tags=frozenset({"a", "theirs"})),
    )

    assert found.texts.tags == {"mine", "theirs"}


@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_two_edits_of_one_text_are_a_conflict(field: str) -> None:
    """Both texts are there for the person to decide."""
    mine, theirs = (BEFORE._replace(**{field: word}) for word in ("mine", "theirs"))  # type: ignore[arg-type]

    found = merged(shown(BEFORE), mine, theirs)

    assert found.conflicts == (field,)
    assert (getattr(found.texts, field), getattr(found.stored, field)) == ("mine", "theirs")


def test_form_that_is_sent_twice_is_no_conflict() -> None:
    """What it wants is there already."""
    wanted = BEFORE._replace(outcome="mine")

    found = merged(shown(BEFORE), wanted, wanted)

    assert (found.texts, found.conflicts) == (wanted, ())


def test_form_that_changes_nothing_changes_nothing() -> None:
    """With the line breaks of a browser, and without the tags of the status."""
    texts = texts_of(tagged(record(outcome="one\r\ntwo\x00"), "a"))
    form = Form(
        [("reason", texts.reason), ("outcome", texts.outcome.replace("\n", "\r\n")), ("tags", " a ,")]
    )

    assert sent(form) == texts
    assert texts.tags == {"a"}


def test_texts_are_those_of_the_record() -> None:
    """As people read them."""
    assert texts_of(record(reason=None, outcome="so")) == edit.AnnotationTexts("", "so", frozenset())
