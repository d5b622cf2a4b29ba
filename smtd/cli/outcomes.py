"""What `smtd-ctl` says when something was done, or when there is nothing. No slow imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smtd.cli.status_table import NO_PAIRS

Result = dict[str, Any]

#: What is said of a pair for which a verb changed something, and of one for which it did not.
_OF_PAIRS = {"pause": ("paused", "was paused already"), "resume": ("resumed", "was not paused")}


def lines(verb: str, found: Result) -> Iterator[str]:
    """Yield what *verb* (pause, resume, stop, reload) did, given its result."""
    if verb == "stop":
        # One of an earlier version does not say which it is.
        yield "smtd serve is stopping" if found.get("only_serves") else "smtd is stopping"
    elif verb == "reload":
        yield from _reloaded(found)
    else:
        changed, same = _OF_PAIRS[verb]
        # A daemon of an earlier version names no pairs.
        for name in found.get("pairs", ()):
            yield f"{name}: {changed if name in found['changed'] else same}"
        if not found.get("pairs", True):
            yield NO_PAIRS


def _reloaded(found: Result) -> Iterator[str]:
    named = {what: names for what, names in found.items() if names}
    yield "configuration reloaded" if named else "configuration reloaded; no pair has changed"
    for what, names in named.items():
        yield f"{what}: {', '.join(names)}"


def nothing_waits(what: str, pairs: list[Result]) -> Iterator[str]:
    """Yield that there are no conflicts or holds (*what*), as far as that is known of *pairs*, by status."""
    if not pairs:
        yield NO_PAIRS
        return
    unknown = [pair for pair in pairs if pair["last_cycle"] is None]
    if len(unknown) < len(pairs):
        yield f"No {what}."
    for pair in unknown:
        yield f"{pair['pair']}: not known yet: it has not been synced since smtd started ({pair['state']})"
