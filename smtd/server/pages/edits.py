"""What people change of a record by pages: its reason, outcome and tags, and whether it is there at all."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from anyio import to_thread

from smtd.records.record import Key, Record
from smtd.records.tags import STATUS_TAGS
from smtd.server.accounts.rights import Right
from smtd.server.authorization import check_right
from smtd.server.caller import Caller
from smtd.server.pages.catalog import Reading
from smtd.server.pages.dispatch import PageRequest
from smtd.server.record_update import Annotations, updated
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import Writer
from smtd.web import answers, forms
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.records import edit, record_view
from smtd.web.records.edit import AnnotationTexts, Edited, ShownTexts
from smtd.web.templates import Templates


class Saved(NamedTuple):
    """What became of an edit: the word of its notice, or the conflicts, with the digest that is there now."""

    word: str
    edited: Edited
    digest: str


class EditPages:
    """Shows forms that change a record, and does what they ask for, by *writer*."""

    def __init__(self, reading: Reading, templates: Templates, writer: Writer) -> None:
        self._reading = reading
        self._templates = templates
        self._writer = writer

    async def ask(self, request: PageRequest) -> web.Response:
        """Show the form for reason, outcome and tags of a record."""
        key = self._key(request, forms.query(request.http))
        async with self._reading.record(key) as (record, digest):
            texts = edit.texts_of(record)
        edit.check_size(key, texts)
        return edit.form(self._templates, request.visit, key, texts, texts, digest)

    async def save(self, request: PageRequest) -> web.Response:
        """Store what the form says, merged with what others have changed meanwhile."""
        form = await forms.read(request.http, request.visit.token)
        key = self._key(request, form)
        caller = await caller_now(request)
        before, wanted = edit.was_shown(form), edit.sent(form)
        save = partial(_save, key, before, wanted, form.required("digest"), caller)
        saved: Saved = await self._writer.submit(save)
        if not saved.word:
            texts, stored, conflicts = saved.edited
            where = (self._templates, request.visit, key)
            return edit.form(*where, texts, stored, saved.digest, conflicts=conflicts)
        site = self._templates.site
        return answers.see(site.address("/record", project=key.project, label=key.label, done=saved.word))

    async def ask_deletion(self, request: PageRequest) -> web.Response:
        """Show what goes if a record is deleted."""
        return await self._question(request, self._key(request, forms.query(request.http)), changed=False)

    async def _question(self, request: PageRequest, key: Key, *, changed: bool) -> web.Response:
        async with self._reading.record(key) as (record, digest):
            view = await to_thread.run_sync(record_view.record_view, record)
        return answers.page(
            self._templates,
            "record_delete.html",
            request.visit,
            key=key,
            record=view,
            digest=digest,
            changed=changed,
            status=HTTPStatus.CONFLICT if changed else HTTPStatus.OK,
        )

    async def delete(self, request: PageRequest) -> web.Response:
        """Delete a record if it still is what the question showed."""
        form = await forms.read(request.http, request.visit.token)
        key = self._key(request, form)
        digest, caller = form.required("digest"), await caller_now(request)

        async def delete(transaction: WriteTransaction) -> str:
            await check_right(transaction, caller, Right.WRITE, key.project)
            current = await transaction.current(key)
            if not current.content.has_record:
                return "gone"
            if current.content.validator != digest:
                return ""
            await transaction.delete(current)
            return "deleted"

        word: str = await self._writer.submit(delete)
        if not word:
            return await self._question(request, key, changed=True)
        return answers.see(self._templates.site.address("/project", name=key.project, done=word))

    def _key(self, request: PageRequest, form: Form) -> Key:
        """Return the key that *form* names, if the caller may change it. Raises PageError."""
        key = Key(form.required("project"), form.required("label"))
        self._reading.project(request.caller, key.project, Right.WRITE)
        return key


async def caller_now(request: PageRequest) -> Caller:
    """Return the caller with the rights they have by now. Raises PageError if they are logged out."""
    caller = await request.caller_now()
    if caller is None:
        sentence = (
            "Nothing was saved, since your login is over. Log in in another tab, and send the form again."
        )
        raise PageError(HTTPStatus.UNAUTHORIZED, sentence)
    return caller


async def _save(
    key: Key,
    before: ShownTexts,
    wanted: AnnotationTexts,
    digest: str,
    caller: Caller,
    transaction: WriteTransaction,
) -> Saved:
    """Store what changes from *before* to *wanted*; the form showed the record with *digest*."""
    await check_right(transaction, caller, Right.WRITE, key.project)
    current = await transaction.current(key)
    if (record := current.record) is None:
        raise PageError(HTTPStatus.NOT_FOUND, f"Record {key} was deleted meanwhile; nothing was saved.")
    stored = edit.texts_of(record)
    edited = edit.merged(before, wanted, stored)
    now = current.content.validator or ""
    if edited.conflicts and now != digest:
        return Saved("", edited, now)
    after = updated(record, _annotations(record, edited.texts, stored))
    if after is record:
        return Saved("same", edited, now)
    content = await transaction.put(current, after)
    return Saved("saved" if now == digest else "merged", edited, content.validator or "")


def _annotations(record: Record, texts: AnnotationTexts, stored: AnnotationTexts) -> Annotations:
    """Return those of *texts* that differ from what *record* has *stored*; its status stays."""
    return Annotations(
        None if texts.reason == stored.reason else texts.reason,
        None if texts.outcome == stored.outcome else texts.outcome,
        None if texts.tags == stored.tags else texts.tags | (record.tags & STATUS_TAGS),
    )
