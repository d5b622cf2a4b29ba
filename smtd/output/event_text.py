"""An event of the daemon in a few words, for people. Pure; no slow imports."""

from __future__ import annotations

from typing import Any

from smtd.output.counts import plural
from smtd.output.local_time import with_local_times

#: Events whose name does not say enough, with the key of what else to say.
_MORE = {
    "started": "pairs",
    "store changed": "location",
    "store replaced": "side",
    "journal lost": "why",
    "serving": "address",
}


def event_text(event: dict[str, Any]) -> str:
    """Return what *event* says, without its time, such as `lab: synced: right 3 created; 1 conflict`."""
    what = str(event["event"])
    if what == "synced":
        what = ": ".join(["synced", *filter(None, [_counts(event)])])
    elif what == "finding":
        what = f"{event.get('project')}/{event.get('label')}: {event.get('problem')}"
    elif event.get("problem"):
        what += f": {event['problem']}"
    elif more := event.get(_MORE.get(what, ""), ""):
        what += f": {plural(more, 'pair')}" if isinstance(more, int) else f": {more}"
    elif names := [f"{kind} {', '.join(event[kind])}" for kind in _CHANGES if event.get(kind)]:
        what += f": {'; '.join(names)}"
    return with_local_times(f"{event['pair']}: {what}" if event.get("pair") else what)


#: What a reload may have done to pairs.
_CHANGES = ("added", "removed", "changed")


def _counts(event: dict[str, Any]) -> str:
    parts = []
    for side in ("left", "right"):
        done = [f"{count:,} {what}" for what, count in event[side].items() if count]
        if done:
            parts.append(f"{side} {', '.join(done)}")
    for kind, word in (("conflicts", "conflict"), ("held", "hold")):
        if event[kind]:
            parts.append(plural(event[kind], word))
    if event["failed"]:
        parts.append(f"{event['failed']:,} failed")
    return "; ".join(parts)
