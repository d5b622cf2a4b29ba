"""What the mirror page shows of the pairs, made from the daemon's answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from smtd.engine.report import Hold, Question
from smtd.output.counts import plural
from smtd.output.waited_for import waited_for
from smtd.web.answers import as_sentence
from smtd.web.durations import duration

#: Kinds of holds for which the page Decide asks which side to take.
_SIDE = [kind.value for kind in Hold if kind.question is Question.SIDE]
_ARROWS = {"two-way": "⇄", "left-to-right": "→", "right-to-left": "←"}
_MODES = {
    "two-way": "in both directions",
    "left-to-right": "from left to right only",
    "right-to-left": "from right to left only",
}
_TONES = {"idle": "good", "offline": "warn", "paused": "warn", "halted": "bad"}


class SideCard(NamedTuple):
    """One store of a pair; *records*: None if it was not read yet."""

    word: str
    location: str
    records: int | None


class Need(NamedTuple):
    """Something that waits for a person: a *sentence*, and a link *button* to where it is done."""

    pair: str
    sentence: str
    button: str
    path: str
    query: Mapping[str, str]
    tone: str


class PairCard(NamedTuple):
    """A pair as a card shows it; times are None if there is none."""

    part: str
    name: str
    state: str
    tone: str
    explanation: str
    problem: str
    arrow: str
    mode: str
    left: SideCard
    right: SideCard
    in_sync: int
    lag: str
    last_cycle: datetime | None
    next_cycle: datetime | None
    verified: str
    verified_since: datetime | None
    is_paused: bool


def card(pair: Mapping[str, Any]) -> PairCard:
    """Return the card of a pair, whose status is *pair*."""
    state = pair["state"]
    proven = pair["proven"]
    return PairCard(
        part=f"pair-{blake2b(pair['pair'].encode(), digest_size=6).hexdigest()}",
        name=pair["pair"],
        state=state,
        tone=_TONES.get(state, "other"),
        explanation=_explanation(pair),
        problem=pair["problem"] or "",
        arrow=_ARROWS[pair["mode"]],
        mode=_MODES[pair["mode"]],
        left=SideCard("Left", pair["left"]["location"], pair["left"]["records"]),
        right=SideCard("Right", pair["right"]["location"], pair["right"]["records"]),
        in_sync=pair["in_sync"],
        lag="none" if pair["lag_seconds"] <= 0 else duration(pair["lag_seconds"]),
        last_cycle=_moment(pair["last_cycle"]),
        next_cycle=_moment(pair["next_cycle"]) if state == "offline" else None,
        verified=f"{proven['records']:,} of {plural(proven['of'], 'record')}"
        if proven["since"]
        else "not yet",
        verified_since=_moment(proven["since"]),
        is_paused=state == "paused",
    )


def _explanation(pair: Mapping[str, Any]) -> str:
    state, pending = pair["state"], pair["pending"]
    if waits := waited_for(pair):
        return as_sentence(waits)
    if state in ("scanning", "applying") and pair["total"] and pending is not None:
        word = "Looking for changes" if state == "scanning" else "Carrying changes"
        return f"{word}: {pair['total'] - pending:,} of {pair['total']:,}."
    if state == "offline":
        waiting = f" {plural(pending, 'change')} waiting." if pending else ""
        return f"A store cannot be reached. smtd tries again by itself.{waiting}"
    return {
        "starting": "The first cycle has not ended yet.",
        "idle": "In sync, except for what is listed above." if any(True for _ in needs(pair)) else "In sync.",
        "scanning": "Looking for changes.",
        "applying": "Carrying changes.",
        "paused": "Paused: it syncs only when you say so.",
        "halted": "It needs you.",
    }[state]


def needs(pair: Mapping[str, Any]) -> Iterator[Need]:
    """Yield what waits for a person, in a pair whose status is *pair*; the most urgent comes first."""
    name = pair["pair"]
    of_pair, to_decide = ("/pair", {"name": name}), ("/decide", {"pair": name})
    if pair["state"] == "halted":
        yield Need(name, f"It cannot sync: {pair['problem']}", "Look at the pair", *of_pair, "bad")
    if number := pair["conflicts"]:
        changed = f"{plural(number, 'record')} changed on both sides, and no rule can decide."
        yield Need(name, changed, "Decide", *to_decide, "bad")
    held = pair["held_by_kind"]
    if number := held.get(Hold.DELETION.value, 0):
        gone = f"{plural(number, 'deletion')} held: it may be an accident."
        yield Need(name, gone, "Approve or reject", *to_decide, "bad")
    if number := sum(held.get(kind, 0) for kind in _SIDE):
        rest = f"{plural(number, 'record')} held as they are until you choose a side."
        yield Need(name, rest, "Choose", *to_decide, "warn")
    if number := held.get(Hold.LOST_DATA.value, 0):
        lost = f"{plural(number, 'record')} held: Sumatra took data away from them."
        yield Need(name, lost, "See which", *to_decide, "warn")
    if number := pair["failed"]:
        yield Need(name, f"{plural(number, 'record')} failed.", "See why", *of_pair, "warn")
    if number := pair["proven"]["findings"]:
        found = f"{plural(number, 'unexpected difference')} between the stores."
        yield Need(name, found, "See what to do", *of_pair, "bad")


def all_needs(pairs: Sequence[Mapping[str, Any]]) -> list[Need]:
    """Return what waits for a person in all *pairs*; the most urgent comes first."""
    found = [need for pair in pairs for need in needs(pair)]
    return sorted(found, key=lambda need: need.tone != "bad")


def summary(report: Mapping[str, Any]) -> str:
    """Return in a sentence what a sync did, given the answer to `sync now`."""
    if report["errors"]:
        return as_sentence(report["errors"][0]["error"])
    counts = dict.fromkeys(("created", "updated", "deleted"), 0)
    for pair in report["pairs"]:
        for name in counts:
            counts[name] += pair["left"][name] + pair["right"][name]
    done = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"Synced: {', '.join(done)}." if done else "Synced: nothing to do."


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
