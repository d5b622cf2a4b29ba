"""Which page of the daemon a path means."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from smtd.daemon.pages.asking import Ask
from smtd.daemon.pages.decide import DecidePages
from smtd.daemon.pages.dispatch import Show
from smtd.daemon.pages.mirror import MirrorPages
from smtd.daemon.pages.pair_indexes import Start
from smtd.daemon.pages.records import PairPages
from smtd.daemon.pages.timeline import TimelinePages
from smtd.daemon.pair_records import PairAccess
from smtd.web.templates import Templates


def shows(
    ask: Ask, access: PairAccess, templates: Templates, start: Start, ending: anyio.Event
) -> Mapping[tuple[str, str], Show]:
    """Return what answers each method and path; streams end when *ending* is set."""
    mirror = MirrorPages(ask, templates, ending)
    decide = DecidePages(ask, templates)
    timeline = TimelinePages(ask, templates)
    return {
        **PairPages(ask, access, templates, start, ending).shows,
        ("GET", "/"): mirror.show,
        ("GET", "/pair"): mirror.show_pair,
        ("GET", "/live"): mirror.follow,
        ("GET", "/plan"): mirror.plan,
        ("POST", "/sync"): mirror.sync,
        ("POST", "/pause"): mirror.pause,
        ("POST", "/resume"): mirror.resume,
        ("GET", "/decide"): decide.show,
        ("GET", "/decide/record"): decide.show_record,
        ("POST", "/decide/review"): decide.review,
        ("POST", "/decide/apply"): decide.apply,
        ("GET", "/history"): timeline.show,
        ("GET", "/cycle"): timeline.show_cycle,
        ("GET", "/undo"): timeline.review,
        ("POST", "/undo"): timeline.undo,
        ("GET", "/restore"): timeline.review_restore,
        ("POST", "/restore"): timeline.restore,
    }
