"""The verbs of `smtd-ctl` about single records and past cycles: explain, show, history, undo, restore."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from smtd.cli import record_fields
from smtd.cli.client import add_verb, ask_daemon, say_result
from smtd.cli.say import complain, say, say_json
from smtd.cli.shell_words import command
from smtd.control.client import Result
from smtd.errors import UsageError
from smtd.output.counts import plural
from smtd.output.local_time import local_time, with_local_times

#: What each action of the history did.
_PAST = {"create": "created", "update": "updated", "delete": "deleted"}
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def add_to(verbs: Any) -> None:
    """Add the verbs about records and cycles to the parser's *verbs*."""
    _add_record(add_verb(verbs, "explain", _explain, "Explain the state of a record.", pairs="1"))
    _add_record(add_verb(verbs, "show", _show, "Show a record field by field.", pairs="1"))
    history = add_verb(verbs, "history", _history, "List what smtd wrote.")
    history.add_argument("pair", metavar="PAIR", nargs="?", help="Only this pair.")
    history.add_argument("--label", metavar="LABEL", help="Only labels matching LABEL.")
    history.add_argument("--cycle", metavar="N", type=int, help="Only this cycle.")
    history.add_argument("--limit", metavar="N", type=int, default=100, help="Show at most N. [default: 100]")
    history.add_argument(
        "--check", action="store_true", help="Check the integrity of the history instead of listing it."
    )
    undo = add_verb(verbs, "undo", _undo, "Restore both sides to their state before a cycle.")
    undo.add_argument("cycle", metavar="CYCLE", type=int, help="Its number in the history.")
    undo.add_argument("--dry-run", action="store_true", help="Show what would be done, without doing it.")
    restore = add_verb(verbs, "restore", _restore, "Restore an earlier version of a record.", pairs="1")
    _add_record(restore)
    restore.add_argument(
        "--at", metavar="TIME", required=True, help="A time, such as 2026-11-25T13:00, or an age, such as 2h."
    )


def _add_record(verb: Any) -> None:
    verb.add_argument("project", metavar="PROJECT", help="The project of the record.")
    verb.add_argument("label", metavar="LABEL", help="The label of the record.")


def _explain(arguments: Any) -> int:
    found = _of_record(arguments, "explain")
    say_result(arguments, found, _explained(found))
    return 0


def _explained(found: Result) -> Iterator[str]:
    for side in ("left", "right"):
        yield f"{side:<7} {found[side] or 'nothing'}"
    agreed = found["agreed"]
    if agreed is None:
        yield "agreed  never, as far as smtd knows"
    else:
        same = agreed["left"] == agreed["right"]
        what = agreed["left"] if same else f"{agreed['left']} on the left, {agreed['right']} on the right"
        yield f"agreed  {what}, at {local_time(agreed['at'] or 'an unknown time')}"
    yield f"now     {with_local_times(found['rule'])}"
    yield f"next    {with_local_times(found['next'])}"
    for past in found["history"]:
        what = f"{past['action']} on the {past['side']}: {with_local_times(past['reason'])}"
        yield f"cycle {past['cycle']}  {local_time(past['at'])}  {what}"
    yield from _forgotten(found["forgotten"])


def _forgotten(at: str | None, pair: str = "") -> Iterator[str]:
    if at is not None:
        yield f"{pair}the history up to {local_time(at)} was removed (history_age, history_size)"


def _show(arguments: Any) -> int:
    found = _of_record(arguments, "show")
    say_result(arguments, found, chain(record_fields.lines(found), _forgotten(found["forgotten"])))
    return 0


def _of_record(arguments: Any, verb: str, **more: Any) -> Result:
    names = {name: getattr(arguments, name) for name in ("pair", "project", "label")}
    return ask_daemon(arguments, verb, None, **names, **more)


def _history(arguments: Any) -> int:
    if arguments.check:
        return _check(arguments)
    names = ("pair", "label", "cycle", "limit")
    found = ask_daemon(arguments, "history", **{name: getattr(arguments, name) for name in names})
    say_result(arguments, found, _listed(found, arguments))
    return 0


def _listed(found: Result, arguments: Any) -> Iterator[str]:
    history = found["history"]
    for number, cycle in enumerate(cycles(history)):
        if number:
            yield ""
        yield from cycle_lines(cycle)
    if not history:
        yield "No history: smtd has written nothing that matches."
    if history and arguments.cycle is None and len(history) == arguments.limit:
        last = history[-1]["cycle"]
        more = f"--cycle {last}, --limit N"
        yield f"cycle {last} may have more records, and there may be earlier cycles: {more}"
    for name, at in found["forgotten"].items():
        yield from _forgotten(at, f"{name}: ")


def cycles(history: Sequence[Result]) -> list[list[Result]]:
    """Return the entries of a *history* by cycle, in their order; cycles of several pairs may overlap."""
    grouped: dict[tuple[int, str], list[Result]] = defaultdict(list)
    for each in history:
        grouped[each["cycle"], each["pair"]].append(each)
    return list(grouped.values())


def cycle_lines(cycle: Sequence[Result]) -> Iterator[str]:
    """Yield when the *cycle* was, of which pair, how many records it wrote, and then each write."""
    first = cycle[-1]
    done = Counter((each["side"], each["action"]) for each in cycle)
    counts = [
        f"{count:,} {_PAST.get(action, action)} on the {side}"
        for (side, action), count in sorted(done.items())
    ]
    yield f"cycle {first['cycle']}  {local_time(first['at'])}  {first['pair']}: {', '.join(counts)}"
    for each in cycle:
        what = f"{each['action']} {each['project']}/{each['label']} on the {each['side']}"
        yield f"  {what}: {with_local_times(each['reason'])}"


def _check(arguments: Any) -> int:
    found = ask_daemon(arguments, "history check", None)
    seal = found["head"][:16] or "none"
    line = f"{plural(found['entries'], 'entry', 'entries')}, intact; last seal {seal}"
    say_result(arguments, {"ok": True, **found}, [line])
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
        if found["done"] and not arguments.dry_run:
            see = command(arguments.program, "holds", names=[found["pair"]])
            say(f"where the two sides differ now, smtd waits for your choice: {see}")
        for each in found["refused"]:
            what = f"{each['project']}/{each['label']} on the {each['side']}"
            complain(f"{arguments.program}: not undone: {what}: {with_local_times(each['error'])}")
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
            complain(
                f"{arguments.program}: {each['project']}/{each['label']}: {with_local_times(each['error'])}"
            )
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
