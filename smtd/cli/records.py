"""The verbs of `smtd-ctl` about single records: list conflicts, holds and history; resolve, undo, restore."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from smtd.cli.client import Result, add_verb, ask_daemon, print_reports, problem_and_remedy
from smtd.cli.say import complain, say, say_json
from smtd.errors import UsageError
from smtd.output.counts import plural

#: The most lines of a value of a record that are shown, and the most characters of a line.
_LINES, _WIDTH = 12, 160
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def add_to(verbs: Any) -> None:
    """Add the verbs about single records to the parser's *verbs*."""
    add_verb(verbs, "conflicts", _listed("conflicts"), "list records that both sides changed", pairs="*")
    _add_resolve(verbs)
    add_verb(verbs, "holds", _listed("holds"), "list held actions and why", pairs="*")
    deletes = verbs.add_parser("deletes", help="approve or reject held deletions")
    what = deletes.add_subparsers(metavar="WHAT", required=True)
    for name, text in (
        ("approve", "carry out held deletions"),
        ("reject", "restore the records where they were deleted"),
    ):
        verb = add_verb(what, name, _deletes(name), text, pairs="1")
        verb.add_argument("labels", metavar="LABEL", nargs="*", help="a label or a glob [default: all]")
    _add_record(add_verb(verbs, "explain", _explain, "explain the state of a record", pairs="1"))
    _add_record(add_verb(verbs, "show", _show, "show a record field by field", pairs="1"))
    history = add_verb(verbs, "history", _history, "list what smtd wrote")
    history.add_argument("pair", metavar="PAIR", nargs="?", help="only this pair")
    history.add_argument("--label", metavar="LABEL", help="only labels matching LABEL")
    history.add_argument("--cycle", metavar="N", type=int, help="only this cycle")
    history.add_argument("--limit", metavar="N", type=int, default=100, help="show at most N [default: 100]")
    history.add_argument(
        "--check", action="store_true", help="check the integrity of the history instead of listing it"
    )
    undo = add_verb(verbs, "undo", _undo, "restore both sides to their state before a cycle")
    undo.add_argument("cycle", metavar="CYCLE", type=int, help="its number in the output of smtd-ctl history")
    undo.add_argument("--dry-run", action="store_true", help="show what would be done, without doing it")
    restore = add_verb(verbs, "restore", _restore, "restore an earlier version of a record", pairs="1")
    _add_record(restore)
    restore.add_argument(
        "--at", metavar="TIME", required=True, help="a time, such as 2026-11-25T13:00, or an age, such as 2h"
    )


def _add_record(verb: Any) -> None:
    verb.add_argument("project", metavar="PROJECT", help="project of the record")
    verb.add_argument("label", metavar="LABEL", help="label of the record")


def _add_resolve(verbs: Any) -> None:
    resolve = add_verb(verbs, "resolve", _resolve, "resolve conflicts", pairs="1")
    resolve.add_argument("project", metavar="PROJECT", nargs="?", help="a name; with --all also a glob")
    resolve.add_argument("label", metavar="LABEL", nargs="?", help="a name; with --all also a glob")
    resolve.add_argument(
        "--take",
        choices=("left", "right", "both"),
        required=True,
        help="keep the record of this side, or both (the right one under another label)",
    )
    resolve.add_argument(
        "--all", action="store_true", help="resolve all conflicts matching PROJECT and LABEL"
    )


def _listed(what: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        found = ask_daemon(arguments, what, pairs=arguments.pairs)
        if arguments.json:
            say_json(found)
        else:
            for each in found[what]:
                say(f"{each['pair']}: {each['project']}/{each['label']}: {problem_and_remedy(each)}")
        return int(bool(found[what]))

    return do


def _resolve(arguments: Any) -> int:
    if not arguments.all and (arguments.project is None or arguments.label is None):
        raise UsageError("name a project and a label, or use --all")
    names = ("pair", "project", "label", "take", "all")
    return _decided(arguments, "resolve", **{name: getattr(arguments, name) for name in names})


def _deletes(what: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        return _decided(arguments, f"deletes {what}", pair=arguments.pair, labels=arguments.labels)

    return do


def _decided(arguments: Any, verb: str, **asked: Any) -> int:
    found = ask_daemon(arguments, verb, None, **asked)
    if arguments.json:
        say_json(found)
    else:
        print_reports({**found, "errors": []})
    return 0 if found["ok"] else 1


def _explain(arguments: Any) -> int:
    found = _of_record(arguments, "explain")
    if arguments.json:
        say_json(found)
        return 0
    for side in ("left", "right"):
        say(f"{side:<7} {found[side] or 'nothing'}")
    agreed = found["agreed"]
    if agreed is None:
        say("agreed  never, as far as smtd knows")
    else:
        same = agreed["left"] == agreed["right"]
        what = agreed["left"] if same else f"{agreed['left']} on the left, {agreed['right']} on the right"
        say(f"agreed  {what}, at {agreed['at'] or 'an unknown time'}")
    say(f"now     {found['rule']}")
    say(f"next    {found['next']}")
    for past in found["history"]:
        say(f"cycle {past['cycle']}  {past['at']}  {past['action']} on the {past['side']}: {past['reason']}")
    _print_forgotten(found["forgotten"])
    return 0


def _print_forgotten(at: str | None, pair: str = "") -> None:
    if at is not None:
        say(f"{pair}the history up to {at} was removed (history_age, history_size)")


def _show(arguments: Any) -> int:
    found = _of_record(arguments, "show")
    if arguments.json:
        say_json(found)
        return 0
    # Every record has a timestamp: a version without one does not exist.
    there = [name for name, value in found["fields"]["timestamp"].items() if value is not None]
    for field, values in found["fields"].items():
        if len({json.dumps(values[name]) for name in there}) == 1:
            _print_value(field, values[there[0]])
            continue
        for name in there:
            _print_value(f"{field} ({name})", values[name])
    for name in sorted({"left", "right", "agreed"} - {*there}):
        say("there is no agreed version" if name == "agreed" else f"the {name} store has no such record")
    if found["differing"]:
        say(f"the sides differ in {', '.join(found['differing'])}")
    _print_forgotten(found["forgotten"])
    return 0


def _print_value(name: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    lines = [line[:_WIDTH] for line in text.split("\n")]
    if (more := len(lines) - _LINES) > 0:
        lines[_LINES:] = [f"… {more} more lines"]
    first, *others = lines
    say(f"{name}: {first}")
    for line in others:
        say(f"    {line}")


def _of_record(arguments: Any, verb: str, **more: Any) -> Result:
    names = {name: getattr(arguments, name) for name in ("pair", "project", "label")}
    return ask_daemon(arguments, verb, None, **names, **more)


def _history(arguments: Any) -> int:
    if arguments.check:
        return _check(arguments)
    names = ("pair", "label", "cycle", "limit")
    found = ask_daemon(arguments, "history", **{name: getattr(arguments, name) for name in names})
    if arguments.json:
        say_json(found)
        return 0
    for each in found["history"]:
        what = f"{each['action']} {each['project']}/{each['label']} on the {each['side']}"
        say(f"cycle {each['cycle']}  {each['at']}  {each['pair']}: {what}: {each['reason']}")
    for name, at in found["forgotten"].items():
        _print_forgotten(at, f"{name}: ")
    return 0


def _check(arguments: Any) -> int:
    found = ask_daemon(arguments, "history check", None)
    if arguments.json:
        say_json({"ok": True, **found})
    else:
        seal = found["head"][:16] or "none"
        say(f"{plural(found['entries'], 'entry', 'entries')}, intact; last seal {seal}")
    return 0


def _undo(arguments: Any) -> int:
    found = ask_daemon(arguments, "undo", None, cycle=arguments.cycle, dry_run=arguments.dry_run)
    if arguments.json:
        say_json(found)
    else:
        would = "would " if arguments.dry_run else ""
        for step in found["done"]:
            what = f"{step['action']} {step['project']}/{step['label']} on the {step['side']}"
            say(f"{found['pair']}: {would}{what}")
        for each in found["refused"]:
            what = f"{each['project']}/{each['label']} on the {each['side']}: {each['error']}"
            complain(f"smtd-ctl: not undone: {what}")
    return int(bool(found["refused"]))


def _restore(arguments: Any) -> int:
    found = _of_record(arguments, "restore", at=_moment(arguments.at))
    if arguments.json:
        say_json(found)
    else:
        for side in ("left", "right"):
            done = [f"{found[side][name]} {name}" for name in ("created", "updated") if found[side][name]]
            say(f"{side:<6} {found[side]['location']}  {', '.join(done) or 'unchanged'}")
        for each in found["failed"]:
            complain(f"smtd-ctl: {each['project']}/{each['label']}: {each['error']}")
    return int(bool(found["failed"]))


def _moment(text: str) -> str:
    """Return a time in UTC, given one in the time zone of this machine, or an age such as 90m."""
    from datetime import datetime, timezone

    beyond = UsageError(f"{text} is out of range; give a time between the years 1 and 9999")
    if age := re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|d)", text):
        try:
            seconds = float(age[1]) * _UNITS[age[2]]
            return datetime.fromtimestamp(time.time() - seconds, timezone.utc).isoformat()
        except (OverflowError, OSError, ValueError):
            raise beyond from None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).isoformat()
    except OverflowError:
        raise beyond from None
    except ValueError as exc:
        raise UsageError(f"{text} is neither a time such as 2026-11-25T13:00 nor an age such as 2h") from exc
