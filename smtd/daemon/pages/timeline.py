"""What smtd wrote: cycles as a timeline, and the records of each; undo and restore, a dry run first."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from smtd.daemon.pages.asking import Ask, result
from smtd.daemon.pages.decide_view import key_of, value_of
from smtd.daemon.pages.dispatch import LocalRequest
from smtd.errors import PlanChanged
from smtd.output.counts import plural
from smtd.records.record import Key
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.templates import Templates

#: Cycles and records on a page, and the most records that are listed before an undo.
_CYCLES, _RECORDS, _LISTED = 50, 100, 100


class TimelinePages:
    """Shows the history, undoes cycles, and restores single records."""

    def __init__(self, ask: Ask, templates: Templates) -> None:
        self._ask = ask
        self._templates = templates

    async def show(self, request: LocalRequest) -> web.Response:
        """Show the cycles that wrote, newest first."""
        query = request.query
        pair, before = query.one("pair") or None, _number(query, "before")
        found = await result(self._ask, "history cycles", pair=pair, before=before, limit=_CYCLES)
        rows = [(each, _counts(each)) for each in found["cycles"]]
        values = {"rows": rows, "pair": pair, "older": found["before"], "is_first": before is None}
        return answers.page(self._templates, "history.html", request.visit, **values)

    async def show_cycle(self, request: LocalRequest) -> web.Response:
        """Show the records that one cycle wrote."""
        query = request.query
        number, before = _required(query, "number"), _number(query, "before")
        found = await result(self._ask, "history", cycle=number, before=before, limit=_RECORDS + 1)
        entries = found["history"][:_RECORDS]
        if not entries and before is None:
            raise PageError(
                HTTPStatus.NOT_FOUND, f"Cycle {number} wrote nothing, or its history was removed."
            )
        older = entries[-1]["id"] if len(found["history"]) > _RECORDS else None
        values = {"number": number, "entries": entries, "older": older}
        return answers.page(self._templates, "cycle.html", request.visit, **values)

    async def review(self, request: LocalRequest) -> web.Response:
        """Show what it would do to undo a cycle; nothing is done yet."""
        return await self._review(request, _required(request.query, "cycle"))

    async def _review(self, request: LocalRequest, number: int, changed: bool = False) -> web.Response:
        found = await result(self._ask, "undo", cycle=number, dry_run=True)
        return answers.page(
            self._templates,
            "undo.html",
            request.visit,
            number=number,
            found=found,
            done=found["done"][:_LISTED],
            refused=found["refused"][:_LISTED],
            changed=changed,
            status=HTTPStatus.CONFLICT if changed else HTTPStatus.OK,
        )

    async def undo(self, request: LocalRequest) -> web.Response:
        """Undo a cycle if that would still do what was shown; else show what it would do now."""
        form = await request.form()
        number, plan = _required(form, "cycle"), form.required("plan")
        try:
            found = await result(self._ask, "undo", cycle=number, plan=plan)
        except PlanChanged:
            return await self._review(request, number, changed=True)
        request.session.notice = _undone(found)
        return answers.see(self._templates.site.address("/history", pair=found["pair"]))

    async def review_restore(self, request: LocalRequest) -> web.Response:
        """Show what it would do to restore an earlier version of a record; nothing is done yet."""
        return await self._review_restore(request, request.query)

    async def _review_restore(self, request: LocalRequest, form: Form, changed: bool = False) -> web.Response:
        wanted = _version(form)
        report = await result(self._ask, "restore", **wanted, dry_run=True)
        return answers.page(
            self._templates,
            "restore.html",
            request.visit,
            wanted=wanted,
            value=value_of(Key(wanted["project"], wanted["label"])),
            report=report,
            changed=changed,
            status=HTTPStatus.CONFLICT if changed else HTTPStatus.OK,
        )

    async def restore(self, request: LocalRequest) -> web.Response:
        """Restore a version if that would still do what was shown; else show what it would do now."""
        form = await request.form()
        wanted, plan = _version(form), form.required("plan")
        try:
            report = await result(self._ask, "restore", **wanted, plan=plan)
        except PlanChanged:
            return await self._review_restore(request, form, changed=True)
        failed = [each["error"] for each in report["failed"]]
        request.session.notice = f"Not restored: {failed[0]}." if failed else "The record is restored."
        of = {name: wanted[name] for name in ("pair", "project", "label")}
        return answers.see(self._templates.site.address("/decide/record", **of))


def _version(form: Form) -> dict[str, str]:
    """Return which version of which record the form names. Raises PageError."""
    pair, at = form.required("pair"), form.required("at")
    key = key_of(form.one("key")) or Key(form.required("project"), form.required("label"))
    return {"pair": pair, **key._asdict(), "at": at}


def _undone(found: Mapping[str, Any]) -> str:
    records = len({(each["project"], each["label"]) for each in found["done"]})
    refused = len(found["refused"])
    rest = f" {plural(refused, 'record')} had changed since and stayed as they are." if refused else ""
    return f"Cycle {found['cycle']} is undone: {plural(records, 'record')}.{rest}"


def _counts(cycle: Mapping[str, Any]) -> list[str]:
    """Return what a cycle wrote to each store, in words."""
    found = []
    for side in ("left", "right"):
        counts = [f"{count:,} {name}" for name, count in cycle[side].items() if count]
        if counts:
            found.append(f"{', '.join(counts)} on the {side}")
    return found


def _number(form: Form, name: str) -> int | None:
    """Return a whole number of the form (None: there is none). Raises PageError for any other text."""
    text = form.one(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise PageError(HTTPStatus.BAD_REQUEST, f"The address is wrong: {name} must be a number.")
    return int(text)


def _required(form: Form, name: str) -> int:
    """Return a whole number of the form. Raises PageError if there is none."""
    form.required(name)
    return _number(form, name) or 0
