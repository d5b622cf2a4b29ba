"""What the pages about decisions show: what waits, grouped, and one record side by side. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from smtd.engine.report import Hold, Question
from smtd.output.counts import plural
from smtd.records.record import Key
from smtd.text import shown_lines
from smtd.web.records.catalog import PastWrite

#: Records of one group on the page of all groups, and on a page of its own.
FEW, PAGE = 10, 50
#: The most characters of all values of one version that are shown; the least of one, and its most lines.
_ALL_CHARACTERS, _FEWEST, _LINES = 12_000, 200, 60
#: Characters and lines of a value that are compared.
_COMPARED, _COMPARED_LINES = 20_000, 300


class ChoiceButton(NamedTuple):
    """A button: the *word* of the choice for smtd, its *label*, and its CSS class."""

    word: str
    label: str
    css_class: str


_SIDES = (
    ChoiceButton("left", "Take left", ""),
    ChoiceButton("right", "Take right", ""),
    ChoiceButton("both", "Keep both", "quiet"),
)
_DELETION = (
    ChoiceButton("reject", "Reject: bring the records back", "main"),
    ChoiceButton("approve", "Approve: delete them on the other side, too", ""),
)
#: For each group: its title, what it means, and the choices.
_GROUPS: Mapping[str, tuple[str, str, Sequence[ChoiceButton]]] = {
    "conflict": (
        "Conflicts",
        "Both sides changed these records, and no rule can decide. Neither side is touched until you do.",
        _SIDES,
    ),
    "deletion": (
        "Held deletions",
        "So many records disappeared at once that it may be an accident. They are still on the other side.",
        _DELETION,
    ),
    "undone": (
        "Records kept as they are",
        "The two sides differ, because a cycle was undone, a decision cannot be carried out, or another"
        " program saved over what smtd wrote.",
        _SIDES,
    ),
    "other": ("Other holds", "smtd waits with these records, and says what releases each of them.", ()),
}
_GROUP_OF = {Question.DELETION: "deletion", Question.SIDE: "undone", None: "other"}


class WaitingRecord(NamedTuple):
    """A record that waits; *value* stands for it in a form."""

    key: Key
    value: str
    why: str
    next: str


class WaitingGroup(NamedTuple):
    """Records of a *pair* that wait for one choice: *records* of *total*; *after*: more follow this one.

    *why* is the reason that all of them share (empty: they do not).
    """

    pair: str
    kind: str
    title: str
    meaning: str
    choices: Sequence[ChoiceButton]
    records: Sequence[WaitingRecord]
    total: int
    after: str
    why: str


def groups(
    conflicts: Iterable[Mapping[str, Any]], holds: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, str], list[WaitingRecord]]:
    """Return what waits, by pair and kind of group, given the answers to `conflicts` and `holds`."""
    found: dict[tuple[str, str], list[WaitingRecord]] = {}
    for each in conflicts:
        why = f"both sides changed {', '.join(each['fields'])}"
        found.setdefault((each["pair"], "conflict"), []).append(_record(each, why, ""))
    for each in holds:
        kind = _GROUP_OF[Hold(each["kind"]).question]
        found.setdefault((each["pair"], kind), []).append(_record(each, each["reason"], each["next"]))
    return found


def _record(each: Mapping[str, Any], why: str, step: str) -> WaitingRecord:
    key = Key(each["project"], each["label"])
    return WaitingRecord(key, value_of(key), why, step)


def value_of(key: Key) -> str:
    """Return the text that stands for *key* in a form: plain ASCII, since browsers change line breaks."""
    return json.dumps(key)


def key_of(value: str) -> Key | None:
    """Return the key that *value* stands for (None: it stands for none)."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    is_key = isinstance(found, list) and len(found) == 2 and all(isinstance(each, str) for each in found)
    return Key(*found) if is_key else None


def group(
    pair: str, kind: str, records: Sequence[WaitingRecord], after: str = "", most: int = FEW
) -> WaitingGroup:
    """Return the group of *kind*, with at most *most* of its *records*: those that follow *after*."""
    title, meaning, choices = _GROUPS[kind]
    begin = next((number + 1 for number, each in enumerate(records) if each.value == after), 0)
    some = records[begin : begin + most]
    rest = some[-1].value if some and begin + most < len(records) else ""
    shared = {each.why for each in records} if len(records) > 1 and choices else set()
    why = shared.pop() if len(shared) == 1 else ""
    return WaitingGroup(pair, kind, title, meaning, choices, some, len(records), rest, why)


def choices_of(kind: str) -> Sequence[ChoiceButton]:
    """Return the choices for records of a group of *kind*; none for an unknown one."""
    return _GROUPS[kind][2] if kind in _GROUPS else ()


def is_kind(kind: str) -> bool:
    """Say whether there are groups of *kind*."""
    return kind in _GROUPS


def promise(kind: str, choice: str, count: int) -> str:
    """Return in a sentence what *choice* means for *count* records of a group of *kind*."""
    records = plural(count, "record")
    return {
        "left": f"{records}: the right store gets what the left one has.",
        "right": f"{records}: the left store gets what the right one has.",
        "both": f"{records}: both stores keep both, the right one under another label.",
        "approve": f"{plural(count, 'deletion')}: the records are deleted from the other store, too.",
        "reject": f"{plural(count, 'deletion')}: the records come back where they disappeared.",
    }[choice]


def past_writes(explained: Mapping[str, Any]) -> list[PastWrite]:
    """Return the writes in the answer to `explain`, newest first."""
    return [
        PastWrite(
            *(each["cycle"], each["at"], each["action"], each["side"], each["reason"]),
            before="" if each["action"] == "create" else _before(each["at"]),
        )
        for each in explained["history"]
    ]


def _before(at: str) -> str:
    return (datetime.fromisoformat(at) - timedelta(milliseconds=1)).isoformat(timespec="milliseconds")


class LineView(NamedTuple):
    """A line of a value; *kind*: `ins` if the baseline lacks it, `del` if only that has it."""

    kind: str
    text: str


class Version(NamedTuple):
    """A value in one version; *lines* is None if there is no record or no value.

    *size*: how many characters it has, if not all are shown. *is_below*: what differs is not shown.
    """

    lines: Sequence[LineView] | None
    size: int = 0
    is_below: bool = False


class FieldRow(NamedTuple):
    """A field of a record in all three versions."""

    name: str
    left: Version
    baseline: Version
    right: Version


class SideBySide(NamedTuple):
    """A record in all versions: the fields that differ, and the others. *missing*: who has no such record."""

    differing: Sequence[FieldRow]
    same: Sequence[FieldRow]
    missing: Sequence[str]


def compared(shown: Mapping[str, Any]) -> SideBySide:
    """Return the comparison of a record, given the answer to `show`."""
    fields = shown["fields"]
    missing = [side for side, value in fields["timestamp"].items() if value is None]
    there = [side for side in ("left", "agreed", "right") if side not in missing]
    differing = [name for name, values in fields.items() if _differ(values, there)]
    most = max(_FEWEST, _ALL_CHARACTERS // max(1, len(differing)))
    rows = [_row(name, fields[name], most) for name in differing]
    same = [_row(name, fields[name], _FEWEST) for name in fields if name not in differing]
    return SideBySide(rows, same, missing)


def _differ(values: Mapping[str, Any], there: Sequence[str]) -> bool:
    return any(values[side] != values[there[0]] for side in there)


def _row(name: str, values: Mapping[str, Any], most: int) -> FieldRow:
    texts = {side: _text(name, value) for side, value in values.items()}
    before = texts["agreed"]
    return FieldRow(
        name.replace("_", " "),
        _version(texts["left"], before, most),
        _version(before, before, most),
        _version(texts["right"], before, most),
    )


def _text(name: str, value: Any) -> str | None:
    """Return *value* as text that people read."""
    if value is None or isinstance(value, str):
        return value
    if name == "parameters":
        return str(value[1])
    if isinstance(value, list) and all(isinstance(each, str | None) for each in value):
        return "\n".join(each or "" for each in value)
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _version(text: str | None, before: str | None, most: int) -> Version:
    if text is None:
        return Version(None)
    new, is_cut = _split(text)
    old = new if before is None else _split(before)[0]
    found: list[LineView] = []
    for line in _diff(old, new):
        if most <= 0 or len(found) >= _LINES:
            is_cut = True
            break
        is_cut = is_cut or len(line.text) > most
        found.append(line._replace(text=line.text[:most]))
        most -= len(line.text) + 1
    is_below = before is not None and text != before and not any(line.kind for line in found)
    return Version(found, len(text) if is_cut else 0, is_below)


def _split(text: str) -> tuple[list[str], bool]:
    """Return the first lines of *text*, as they are shown, and whether there is more."""
    lines = shown_lines(text[:_COMPARED]).split("\n", _COMPARED_LINES)
    return lines[:_COMPARED_LINES], len(text) > _COMPARED or len(lines) > _COMPARED_LINES


def _diff(old: Sequence[str], new: Sequence[str]) -> Iterable[LineView]:
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (LineView("", line) for line in new[c:d])
        else:
            yield from (LineView("del", line) for line in old[a:b])
            yield from (LineView("ins", line) for line in new[c:d])
