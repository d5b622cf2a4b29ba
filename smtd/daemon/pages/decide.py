"""Decide what smtd does not: conflicts and held deletions, one or many, each with what will happen first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from aiohttp import web
from anyio import to_thread

from smtd.daemon.pages import decide_view
from smtd.daemon.pages.asking import Ask, result
from smtd.daemon.pages.decide_view import PAGE, WaitingRecord
from smtd.daemon.pages.dispatch import LocalRequest
from smtd.daemon.pages.mirror_view import summary
from smtd.errors import PlanChanged, UsageError
from smtd.output.counts import plural
from smtd.records.record import Key
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.templates import Templates

#: The most actions that are listed before they are confirmed.
_LISTED = 100


class _Wish(NamedTuple):
    """What a form asks for: *choice* for *keys* of *pair*, or with *of_all* for all that wait for it."""

    pair: str
    kind: str
    choice: str
    keys: Sequence[Key]
    of_all: bool

    @property
    def verb(self) -> str:
        """The verb of the control socket."""
        return f"deletes {self.choice}" if self.kind == "deletion" else "resolve"

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the request."""
        records = [each._asdict() for each in self.keys]
        chosen: dict[str, Any] = {"records": records} if records else {"all": True}
        return {"pair": self.pair, "take": self.choice, **chosen}


class DecidePages:
    """Shows what waits for a decision, what each decision would do, and has it done."""

    def __init__(self, ask: Ask, templates: Templates) -> None:
        self._ask = ask
        self._templates = templates

    async def show(self, request: LocalRequest) -> web.Response:
        """Show all that waits, or with `kind` one group of one pair, page by page."""
        return await self._list(request, request.query)

    async def _list(self, request: LocalRequest, form: Form, problem: str = "") -> web.Response:
        pair, kind = form.one("pair"), form.one("kind")
        if kind and not (pair and decide_view.is_kind(kind)):
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such group of records.")
        found = await self._waiting(pair)
        if kind:
            records = found.get((pair, kind), [])
            groups = [decide_view.group(pair, kind, records, form.one("after"), PAGE)]
        else:
            groups = [decide_view.group(*where, found[where]) for where in sorted(found, key=_order)]
        return answers.page(
            self._templates,
            "decide.html",
            request.visit,
            groups=groups,
            pair=pair,
            kind=kind,
            problem=problem,
            status=HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        )

    async def _waiting(self, pair: str) -> dict[tuple[str, str], list[WaitingRecord]]:
        of = {"pairs": [pair]} if pair else {}
        conflicts = (await result(self._ask, "conflicts", **of))["conflicts"]
        holds = (await result(self._ask, "holds", **of))["holds"]
        return decide_view.groups(conflicts, holds)

    async def show_record(self, request: LocalRequest) -> web.Response:
        """Show one record side by side with its baseline, and the choices that it has."""
        query = request.query
        pair, key = query.required("pair"), Key(query.required("project"), query.required("label"))
        of = {"pair": pair, "project": key.project, "label": key.label}
        explained = await result(self._ask, "explain", **of)
        shown = await result(self._ask, "show", **of)
        comparison = await to_thread.run_sync(decide_view.compared, shown)
        waiting = await self._waiting(pair)
        kind = next(
            (kind for (_, kind), all_ in waiting.items() if any(each.key == key for each in all_)), ""
        )
        return answers.page(
            self._templates,
            "decide_record.html",
            request.visit,
            pair=pair,
            key=key,
            value=decide_view.value_of(key),
            kind=kind,
            choices=decide_view.choices_of(kind),
            explained=explained,
            past=decide_view.past_writes(explained),
            comparison=comparison,
        )

    async def review(self, request: LocalRequest) -> web.Response:
        """Show what a decision would do; nothing is done yet."""
        form = await request.form()
        wish = _wish(form)
        if not (wish.keys or wish.of_all):
            return await self._list(request, form, "Choose at least one record.")
        return await self._review(request, wish)

    async def _review(self, request: LocalRequest, wish: _Wish, changed: bool = False) -> web.Response:
        found = await result(self._ask, wish.verb, **wish.fields, dry_run=True)
        (report,) = found["pairs"]
        actions = report["actions"]
        return answers.page(
            self._templates,
            "decide_review.html",
            request.visit,
            wish=wish,
            promise=decide_view.promise(wish.kind, wish.choice, len(actions)),
            report=report,
            rows=actions[:_LISTED],
            values=[decide_view.value_of(key) for key in wish.keys],
            changed=changed,
            status=HTTPStatus.CONFLICT if changed else HTTPStatus.OK,
        )

    async def apply(self, request: LocalRequest) -> web.Response:
        """Carry out a decision if it would still do what was shown; else show what it would do now."""
        form = await request.form()
        wish, plan = _wish(form), form.required("plan")
        try:
            found = await result(self._ask, wish.verb, **wish.fields, plan=plan)
        except PlanChanged:
            try:
                return await self._review(request, wish, changed=True)
            except UsageError as exc:
                return self._done(request, f"Nothing was done: {exc}.")
        except UsageError as exc:
            return self._done(request, f"Nothing was done: {exc}.")
        return self._done(request, _outcome(found))

    def _done(self, request: LocalRequest, notice: str) -> web.Response:
        request.session.notice = notice
        return answers.see(self._templates.site.address("/decide"))


def _order(where: tuple[str, str]) -> tuple[int, str]:
    pair, kind = where
    return ("conflict", "deletion", "undone", "other").index(kind), pair


def _wish(form: Form) -> _Wish:
    """Return what *form* asks for. Raises PageError."""
    kind, choice = form.required("kind"), form.required("choice")
    if choice not in [each.word for each in decide_view.choices_of(kind)]:
        raise PageError(HTTPStatus.BAD_REQUEST, "There is no such choice; go back, and use its buttons.")
    keys = [decide_view.key_of(value) for value in form.all("key")]
    of_all = form.one("all") == "yes"
    found = () if of_all else tuple(key for key in keys if key is not None)
    return _Wish(form.required("pair"), kind, choice, found, of_all)


def _outcome(found: Mapping[str, Any]) -> str:
    """Return in a sentence what a decision did, and what is left."""
    (report,) = found["pairs"]
    left = sum(len(report[name]) for name in ("conflicts", "held", "failed"))
    rest = f" {plural(left, 'record')} still wait." if left != 1 else " 1 record still waits."
    return f"Decided. {summary({**found, 'errors': []})}{rest if left else ''}"
