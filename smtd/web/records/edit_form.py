"""The form for reason, outcome and tags of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web

from smtd.records.record import Key
from smtd.web import answers
from smtd.web.records import edit, run_words
from smtd.web.records.edit import AnnotationTexts
from smtd.web.records.excerpt import excerpt
from smtd.web.templates import Templates, Visit

#: The bytes that are shown of what somebody else has made of a text.
_THEIRS = 20_000


def edit_form(
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
    html = templates.page(
        "record_edit.html",
        visit,
        place=place or {},
        key=key,
        texts=texts,
        shown=edit.shown(stored),
        theirs={name: excerpt(getattr(stored, name), _THEIRS) for name in conflicts},
        tags=run_words.joined_tags(texts.tags),
        stored_tags=run_words.joined_tags(stored.tags),
        digest=digest,
        conflicts=conflicts,
    )
    return answers.page(html, HTTPStatus.CONFLICT if conflicts else HTTPStatus.OK)
