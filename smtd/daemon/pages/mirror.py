"""The first page: every pair with its state, live; and a page for each pair."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any

import anyio
from aiohttp import web

from smtd.daemon.pages import figures_view
from smtd.daemon.pages.asking import Ask, result
from smtd.daemon.pages.dispatch import LocalRequest
from smtd.daemon.pages.mirror_view import all_needs, card, needs, summary
from smtd.errors import JournalError
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.live import LiveStreams, StreamLimits
from smtd.web.templates import Templates, Visit

#: The limits of the streams, and the most pairs whose cards have charts: a page has at most 100 kB.
_LIMITS, _WITH_CHARTS = StreamLimits(period=1.0, longest=3600.0, most=20, of_one=20), 12
#: Seconds for which a page waits for a cycle that was asked for; the cycle continues.
_WAIT = 10.0


class MirrorPages:
    """Shows the pairs; *ending* is set when the daemon ends."""

    def __init__(self, ask: Ask, templates: Templates, ending: anyio.Event) -> None:
        self._ask = ask
        self._templates = templates
        self._streams = LiveStreams(ending)

    async def show(self, request: LocalRequest) -> web.Response:
        """Show all pairs."""
        pairs = (await result(self._ask, "status"))["pairs"]
        charts = {}
        if len(pairs) <= _WITH_CHARTS:
            now = datetime.now().astimezone()
            for each in await self._figures():
                charts[each["pair"]] = [figures_view.of_day(each, now), figures_view.of_days(each, now)]
        return answers.page(
            self._templates,
            "mirror.html",
            request.visit,
            cards=[card(pair) for pair in pairs],
            needs=all_needs(pairs),
            charts=charts,
        )

    async def show_pair(self, request: LocalRequest) -> web.Response:
        """Show one pair, with all that is known of it."""
        pair = await self._pair(request.query.required("name"))
        now = datetime.now().astimezone()
        charts = [
            chart
            for each in await self._figures(pair["pair"])
            for chart in (
                figures_view.of_day(each, now),
                figures_view.of_days(each, now),
                *figures_view.of_month(each, now),
            )
        ]
        return answers.page(
            self._templates,
            "pair.html",
            request.visit,
            card=card(pair),
            needs=list(needs(pair)),
            charts=charts,
            failures=pair["failures"],
            failed=pair["failed"],
            findings=pair["findings"],
        )

    async def plan(self, request: LocalRequest) -> web.Response:
        """Show what the next cycle of a pair would do."""
        name = request.query.required("pair")
        found = await result(self._ask, "sync plan", pairs=[name], timeout=20)
        if found["errors"]:
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, found["errors"][0]["error"])
        (report,) = found["pairs"]
        return answers.page(self._templates, "plan.html", request.visit, name=name, report=report, most=200)

    async def sync(self, request: LocalRequest) -> web.Response:
        """Run a cycle, perhaps only if it does what a plan says."""
        form = await request.form()
        name, plan = form.required("pair"), form.one("plan") or None
        asked = {"pairs": [name], "timeout": _WAIT, "plan": plan}
        request.session.notice = summary(await result(self._ask, "sync now", **asked))
        return self._back(form.one("back"), name)

    async def pause(self, request: LocalRequest) -> web.Response:
        """Pause a pair."""
        return await self._switch(request, "pause", "Paused.")

    async def resume(self, request: LocalRequest) -> web.Response:
        """Resume a pair."""
        return await self._switch(request, "resume", "Resumed.")

    async def _switch(self, request: LocalRequest, verb: str, notice: str) -> web.Response:
        form = await request.form()
        name = form.required("pair")
        await result(self._ask, verb, pairs=[name])
        await self._wait_for_state(name, is_paused=verb == "pause")
        request.session.notice = notice
        return self._back(form.one("back"), name)

    async def _wait_for_state(self, name: str, *, is_paused: bool) -> None:
        """Wait for a moment until the status of a pair shows that it was paused or resumed."""
        with anyio.move_on_after(_LIMITS.period):
            while ((await self._pair(name))["state"] == "paused") is not is_paused:  # noqa: ASYNC110
                await anyio.sleep(0.02)

    def _back(self, back: str, name: str) -> web.Response:
        site = self._templates.site
        return answers.see(site.address("/pair", name=name) if back == "pair" else site.address("/"))

    async def _figures(self, *names: str) -> list[dict[str, Any]]:
        """Return the figures of the pairs *names*, or of all; none if the journal cannot be read."""
        try:
            return list((await result(self._ask, "figures", pairs=list(names)))["pairs"])
        except JournalError:
            return []

    async def _pair(self, name: str) -> dict[str, Any]:
        (pair,) = (await result(self._ask, "status", pairs=[name]))["pairs"]
        return dict(pair)

    async def follow(self, request: LocalRequest) -> web.StreamResponse:
        """Stream what changes on the first page, or on that of one pair, at most once a second."""
        name, visit = request.query.one("name"), request.quiet_visit
        return await self._streams.send(request.http, "", partial(self._parts, name, visit), _LIMITS)

    async def _parts(self, name: str, visit: Visit) -> Mapping[str, str]:
        """Return the live parts of a page, by their ids."""
        pairs = (await result(self._ask, "status", pairs=[name] if name else []))["pairs"]
        back = "pair" if name else ""
        parts = {
            (found := card(pair)).part: self._templates.page(
                "pair_part.html", visit, card=found, back=back, heading=not name
            )
            for pair in pairs
        }
        found_needs = all_needs(pairs)
        return {**parts, "needs": self._templates.page("needs_part.html", visit, needs=found_needs)}
