"""Times as people read them: in the time zone of this machine, with its name. No slow imports."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timezone

#: A time in UTC as a word of its own: not part of a label, which follows a slash.
_IN_TEXT = re.compile(
    r"(?<![^\s(])\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}(?:\d{3})?)?\+00:00(?![^\s;,.:)])", re.ASCII
)


def local_time(moment: str | datetime) -> str:
    """Return *moment* to the second, such as `2026-11-25 14:41:41 CET`; a text is ISO 8601 with a zone.

    A text of another form stays as it is. A time that this zone cannot express stays in its own zone.
    """
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return str(moment)
    with suppress(OverflowError, ValueError):  # within a day of the first or the last year
        at = at.astimezone()
    clock = at.replace(tzinfo=None, microsecond=0)
    return f"{clock.isoformat(' ')} {at.tzname() or ''}".rstrip()


def local_clock(moment: str) -> str:
    """Return the local time of day of *moment*, without the zone: for lines below one that names it."""
    return local_time(moment)[11:19]


def with_local_times(sentence: str) -> str:
    """Return a sentence of the daemon with its times in UTC as local times."""
    return _IN_TEXT.sub(lambda found: local_time(found[0]), sentence) if "+00:00" in sentence else sentence


def local_now() -> str:
    """Return the current time as `local_time` does."""
    return local_time(datetime.now(timezone.utc))
