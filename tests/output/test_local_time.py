"""Times as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from smtd.output.event_text import event_text
from smtd.output.local_time import local_clock, local_time, with_local_times


@pytest.fixture(autouse=True)
def _in_a_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Five hours and a half ahead of UTC."""
    monkeypatch.setenv("TZ", "XYZ-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_time_is_local_and_names_its_zone() -> None:
    """To the second."""
    assert local_time("2026-11-25T20:41:41.411+00:00") == "2026-11-26 02:11:41 XYZ"
    assert local_time(datetime(2026, 11, 25, 20, 41, 41, tzinfo=timezone.utc)) == "2026-11-26 02:11:41 XYZ"
    assert local_clock("2026-11-25T20:41:41.411+00:00") == "02:11:41"


@pytest.mark.parametrize("text", ["", "an unknown time", "2026-13-45T00:00:00+00:00"])
def test_text_that_is_no_time_stays(text: str) -> None:
    """It may come from an older daemon."""
    assert local_time(text) == text


def test_time_that_the_zone_cannot_express_stays_in_utc() -> None:
    """A record may have any time."""
    assert local_time(datetime.max.replace(tzinfo=timezone.utc)) == "9999-12-31 23:59:59 UTC"
    assert local_time("0001-01-01T00:00:00+00:00").startswith("0001-01-01 0")


def test_times_in_a_sentence_become_local() -> None:
    """But not those in labels, which stay as they are."""
    assert with_local_times("smtd tries again at 2026-11-25T20:41:41+00:00") == (
        "smtd tries again at 2026-11-26 02:11:41 XYZ"
    )
    assert with_local_times("running (until 2026-11-25T20:41:41+00:00)") == (
        "running (until 2026-11-26 02:11:41 XYZ)"
    )
    for same in ("P/2026-11-25T20:41:41+00:00 is missing", "2026-11-25T20:41:41", "no time"):
        assert with_local_times(same) == same


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {
                "event": "synced",
                "pair": "lab",
                "left": {"created": 0, "updated": 1, "deleted": 0},
                "right": {"created": 1200, "updated": 0, "deleted": 2},
                "conflicts": 1,
                "held": 2,
                "failed": 3,
            },
            "lab: synced: left 1 updated; right 1,200 created, 2 deleted; 1 conflict; 2 holds; 3 failed",
        ),
        ({"event": "started", "pairs": 1}, "started: 1 pair"),
        ({"event": "stopped"}, "stopped"),
        ({"event": "offline", "pair": "lab", "problem": "no answer"}, "lab: offline: no answer"),
        ({"event": "recovered", "pair": "lab"}, "lab: recovered"),
        (
            {"event": "reloaded", "added": ["a", "b"], "removed": [], "changed": ["c"]},
            "reloaded: added a, b; changed c",
        ),
        (
            {"event": "finding", "pair": "lab", "project": "P", "label": "x", "problem": "it is missing"},
            "lab: P/x: it is missing",
        ),
        ({"event": "serving", "address": "http://host/"}, "serving: http://host/"),
        ({"event": "an event of a newer daemon", "what": []}, "an event of a newer daemon"),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_event_is_a_few_words(event: dict[str, object], text: str) -> None:
    """Whatever it is."""
    assert event_text(event) == text
