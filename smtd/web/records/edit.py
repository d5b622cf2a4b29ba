"""The form for reason, outcome and tags of a record, and its merge with what others have changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote_plus

from aiohttp import web

from smtd.records.record import Key, Record
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.forms import LARGEST, Form
from smtd.web.records import run_words
from smtd.web.records.excerpt import excerpt
from smtd.web.templates import Templates, Visit

#: The bytes of the other fields of the form.
_REST = 10_000
#: The bytes that are shown of what somebody else has made of a text.
_THEIRS = 20_000


class AnnotationTexts(NamedTuple):
    """The fields that people edit; *tags* without those of the status."""

    reason: str
    outcome: str
    tags: frozenset[str]


class ShownTexts(NamedTuple):
    """What a form showed: hashes of the texts, which may be long, and the tags."""

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


def sent(form: Form) -> AnnotationTexts:
    """Return the fields that *form* asks for."""
    reason, outcome = (_as_sent(form.one(name)) for name in ("reason", "outcome"))
    return AnnotationTexts(reason, outcome, run_words.typed_tags(form.one("tags")))


def shown(texts: AnnotationTexts) -> ShownTexts:
    """Return what a form carries of the *texts* that it shows."""
    return ShownTexts(_hash(texts.reason), _hash(texts.outcome), texts.tags)


def was_shown(form: Form) -> ShownTexts:
    """Return what *form* showed when it was made."""
    tags = run_words.typed_tags(form.one("was_tags"))
    return ShownTexts(form.one("was_reason"), form.one("was_outcome"), tags)


def check_size(key: Key, texts: AnnotationTexts) -> None:
    """Raise PageError if a form could not send the *texts* of *key* back."""
    fields = (texts.reason, texts.outcome, run_words.joined_tags(texts.tags))
    size = sum(len(quote_plus(text.replace("\n", "\r\n"), errors="replace")) for text in fields)
    if size > LARGEST - _REST:
        sentence = f"The texts of record {key} are too long for a form. Edit them with smt comment."
        raise PageError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def merged(before: ShownTexts, wanted: AnnotationTexts, stored: AnnotationTexts) -> Edited:
    """Return what to store when a form that showed *before* asks for *wanted*, and *stored* is there now.

    A field that only one side changed takes that change; tags are merged one by one.
    """
    conflicts, values = [], {}
    for name in ("reason", "outcome"):
        old: str = getattr(before, name)
        new, now = getattr(wanted, name), getattr(stored, name)
        values[name] = now if _hash(new) == old else new
        if new != now and old not in (_hash(new), _hash(now)):
            conflicts.append(name)
    tags = (stored.tags | (wanted.tags - before.tags)) - (before.tags - wanted.tags)
    return Edited(AnnotationTexts(**values, tags=tags), stored, tuple(conflicts))


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _as_sent(text: str) -> str:
    """Return *text* as a browser sends it: with line breaks of one kind, and without what a page escapes."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def form(
    templates: Templates,
    visit: Visit,
    key: Key,
    texts: AnnotationTexts,
    stored: AnnotationTexts,
    digest: str,
    *,
    conflicts: Sequence[str] = (),
    place: Mapping[str, str] | None = None,
) -> web.Response:
    """Return the form with *texts* in its fields; for *conflicts* it shows what is *stored*, too.

    *digest*: that of the record which has *stored*. *place*: the fields that every address has.
    """
    return answers.page(
        templates,
        "record_edit.html",
        visit,
        place=place or {},
        key=key,
        texts=texts,
        shown=shown(stored),
        theirs={name: excerpt(getattr(stored, name), _THEIRS) for name in conflicts},
        tags=run_words.joined_tags(texts.tags),
        stored_tags=run_words.joined_tags(stored.tags),
        digest=digest,
        conflicts=conflicts,
        status=HTTPStatus.CONFLICT if conflicts else HTTPStatus.OK,
    )
