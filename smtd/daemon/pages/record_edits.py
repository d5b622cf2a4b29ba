"""Edit reason, outcome and tags of a record of a pair, on both sides at once."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web

from smtd.daemon.pages.asking import Ask, Result, result
from smtd.daemon.pages.dispatch import LocalRequest
from smtd.daemon.pages.pair_catalog import PairCatalog
from smtd.errors import PlanChanged, UsageError
from smtd.records import canonical
from smtd.records.record import Key
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.records import edit
from smtd.web.records.edit import AnnotationTexts, ShownTexts
from smtd.web.templates import Templates

#: How often an edit is merged again with what others have changed in the meantime.
_TRIES = 3


class _Wish(NamedTuple):
    """What a form asks for: texts *wanted* in place of those *before*."""

    key: Key
    before: ShownTexts
    wanted: AnnotationTexts


class RecordEdits:
    """Shows the form, and has its edit made by the verb `edit`."""

    def __init__(self, ask: Ask, templates: Templates) -> None:
        self._ask = ask
        self._templates = templates

    async def ask(self, request: LocalRequest, catalog: PairCatalog) -> web.Response:
        """Show the form."""
        key = _key(request.query, catalog)
        async with catalog.record(key) as (record, digest):
            texts = edit.texts_of(record)
        edit.check_size(key, texts)
        place = catalog.place
        return edit.form(self._templates, request.visit, key, texts, texts, digest, place=place)

    async def save(self, request: LocalRequest, form: Form, catalog: PairCatalog) -> web.Response:
        """Have the edit made, merged with what others have changed since the form was shown."""
        wish = _Wish(_key(form, catalog), edit.was_shown(form), edit.sent(form))
        for _ in range(_TRIES):
            async with catalog.record(wish.key) as (record, _):
                stored, digest = edit.texts_of(record), canonical.digest(record).hex()
            merged = edit.merged(wish.before, wish.wanted, stored)
            if merged.conflicts:
                where, names = (self._templates, request.visit, wish.key), merged.conflicts
                return edit.form(*where, merged.texts, stored, digest, conflicts=names, place=catalog.place)
            if merged.texts == stored:
                return self._done(request, wish.key, catalog, "Nothing was changed, so nothing is saved.")
            try:
                await self._edit(wish.key, catalog, merged.texts, stored, digest)
            except PlanChanged:
                continue
            return self._done(request, wish.key, catalog, "The record is saved in both stores.")
        sentence = "The two stores differ in this record, or it keeps changing. Nothing was saved; try again."
        raise PageError(HTTPStatus.CONFLICT, sentence)

    async def _edit(
        self, key: Key, catalog: PairCatalog, texts: AnnotationTexts, stored: AnnotationTexts, digest: str
    ) -> None:
        """Change *stored* to *texts* in the record with *digest*. Raises PlanChanged, PageError."""
        changes = {
            name: sorted(value) if name == "tags" else value
            for name, value in texts._asdict().items()
            if value != getattr(stored, name)
        }
        of = {"pair": catalog.place["pair"], "project": key.project, "label": key.label, "expect": digest}
        try:
            report: Result = await result(self._ask, "edit", **of, **changes)
        except UsageError as exc:
            raise PageError(HTTPStatus.CONFLICT, f"Nothing was saved: {exc}.") from exc
        if failed := report["failed"]:
            raise PageError(HTTPStatus.CONFLICT, f"It is not saved everywhere: {failed[0]['error']}.")

    def _done(self, request: LocalRequest, key: Key, catalog: PairCatalog, notice: str) -> web.Response:
        request.session.notice = notice
        site = self._templates.site
        return answers.see(site.address("/record", project=key.project, label=key.label, **catalog.place))


def _key(form: Form, catalog: PairCatalog) -> Key:
    """Return the key that *form* names. Raises PageError if the pair does not have its project."""
    key = Key(form.required("project"), form.required("label"))
    if not catalog.may_edit(catalog.project(key.project).id):
        sentence = "This pair syncs one way: edit the record in the store that it comes from."
        raise PageError(HTTPStatus.FORBIDDEN, sentence)
    return key
