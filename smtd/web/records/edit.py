"""Merge what a form sends of a record with what others have changed since the form was shown. Pure."""

from __future__ import annotations

from typing import NamedTuple

from smtd.records.record import Record
from smtd.web.forms import Form
from smtd.web.records import run_words


class AnnotationTexts(NamedTuple):
    """The fields that people edit; *tags* without those of the status."""

    reason: str
    outcome: str
    tags: frozenset[str]


class Edited(NamedTuple):
    """The fields to store, and those that somebody else changed, too, in another way.

    *stored*: the fields as they are now. If there are *conflicts* nothing is to be stored.
    """

    texts: AnnotationTexts
    stored: AnnotationTexts
    conflicts: tuple[str, ...] = ()


def texts_of(record: Record) -> AnnotationTexts:
    """Return the fields of *record* as a browser sends them back."""
    tags = frozenset(run_words.own_tags(record.tags))
    return AnnotationTexts(_as_sent(record.reason or ""), _as_sent(record.outcome or ""), tags)


def sent(form: Form, prefix: str = "") -> AnnotationTexts:
    """Return the fields of *form* whose names begin with *prefix*."""
    reason, outcome = (_as_sent(form.one(f"{prefix}{name}")) for name in ("reason", "outcome"))
    return AnnotationTexts(reason, outcome, run_words.typed_tags(form.one(f"{prefix}tags")))


def merged(before: AnnotationTexts, wanted: AnnotationTexts, stored: AnnotationTexts) -> Edited:
    """Return what to store when a form that showed *before* asks for *wanted*, and *stored* is there now.

    A field that only one side changed takes that change; tags are merged one by one.
    """
    conflicts, values = [], {}
    for name in ("reason", "outcome"):
        old, new, now = (getattr(texts, name) for texts in (before, wanted, stored))
        values[name] = now if new == old else new
        if new not in (old, now) and now != old:
            conflicts.append(name)
    tags = (stored.tags | (wanted.tags - before.tags)) - (before.tags - wanted.tags)
    return Edited(AnnotationTexts(**values, tags=tags), stored, tuple(conflicts))


def _as_sent(text: str) -> str:
    """Return *text* as a browser sends it: with line breaks of one kind, and without what a page escapes."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
