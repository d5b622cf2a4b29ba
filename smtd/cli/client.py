"""Send requests to the daemon for `smtd-ctl`, and print its answers. No slow imports."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from smtd.cli.parser import VerbParser
from smtd.cli.progress_line import ProgressLine
from smtd.cli.say import complain, say, say_json
from smtd.cli.socket_path import any_socket_path
from smtd.cli.status_table import NO_PAIRS
from smtd.control.client import Result, result
from smtd.output.local_time import with_local_times

#: The most seconds that an answer may take that needs no store.
PATIENCE = 10.0

_PAIR_HELP = {
    "*": "A pair or a glob. [default: all]",
    "+": "A pair or a glob; '*' means all.",
    "1": "A pair.",
}
#: Options before or after the verb. The configuration is for what `smtd` does with the same words.
_COMMON: dict[str, dict[str, Any]] = {
    "--json": {"action": "store_true", "help": "Print one JSON object and nothing else."},
    "--config": {"metavar": "FILE", "help": "The configuration file."},
    "--socket": {"metavar": "FILE", "help": "The control socket."},
}


def add_verb(
    verbs: Any, name: str, do: Callable[[Any], int], text: str, *, pairs: str = "", more: str = ""
) -> VerbParser:
    """Add the verb *name*, which calls *do*, and return its parser; *pairs*: how many, as nargs, or "1".

    *text* says what it does in one sentence, *more* what else a user has to know.
    """
    verb: VerbParser = verbs.add_parser(name, help=text, description=f"{text}\n\n{more}".strip())
    verb.set_defaults(do=do, parser=verb)
    if pairs == "1":
        verb.add_argument("pair", metavar="PAIR", help=_PAIR_HELP[pairs])
    elif pairs:
        verb.add_argument("pairs", metavar="PAIR", nargs=pairs, help=_PAIR_HELP[pairs])
    add_options(verb, default=SUPPRESS)
    return verb


def add_group(verbs: Any, name: str, text: str) -> Any:
    """Add the word *name*, which verbs follow, and return where to add these."""
    group: VerbParser = verbs.add_parser(name, help=text, description=text)
    add_options(group, default=SUPPRESS)
    return group.add_subparsers(metavar="COMMAND", required=True)


def add_options(parser: VerbParser, **more: Any) -> None:
    """Add the options that can stand before the verb or after it; the latter place sets no default."""
    for name, meaning in _COMMON.items():
        parser.add_argument(*(["-c"] if name == "--config" else []), name, **meaning, **more)


def ask_daemon(arguments: Any, verb: str, patience: float | None = PATIENCE, **more: Any) -> Result:
    """Return the result of one request, and show its progress. Raises the error that the daemon answers."""
    progress = ProgressLine()
    try:
        return result(any_socket_path(arguments.socket), {"verb": verb, **more}, patience, progress.show)
    finally:
        progress.clear()


def say_result(arguments: Any, found: Result, lines: Iterable[str]) -> None:
    """Print *found* as JSON if the user wants that, else *lines*."""
    if arguments.json:
        say_json(found)
    else:
        for line in lines:
            say(line)


def exit_code(found: Result) -> int:
    """Return the exit code for cycles or scrubs: the worst of the pairs that have no result, else 1 or 0."""
    return max(int(not found["ok"]), *(int(error["code"]) for error in found["errors"]), 0)


def print_reports(found: Result, program: str, *, planned: bool = False) -> None:
    """Print what cycles did, or with *planned* would do, and the conflicts, holds and failures left.

    *program* is what the user called, for the commands that follow.
    """
    if not found["pairs"] and not found["errors"]:
        say(NO_PAIRS)
    for pair in found["pairs"]:
        for side in ("left", "right"):
            one = pair[side]
            counts = [f"{one[name]} {name}" for name in ("created", "updated", "deleted") if one[name]]
            would = "would be: " if planned and counts else ""
            say(f"{pair['pair']}: {side} {one['location']}  {would}{', '.join(counts) or 'unchanged'}")
        for action in pair.get("actions", []) if planned else []:
            where = "both sides" if action["side"] == "both" else f"the {action['side']}"
            what = f"{action['action']} {action['project']}/{action['label']} on {where}"
            say(f"  {what}: {action['reason']}")
        if planned and pair.get("actions"):
            say(f"  to run exactly this plan: {program} sync now {pair['pair']} --plan {pair['plan']}")
        for kind in ("conflict", "held", "failed"):
            for each in pair["conflicts" if kind == "conflict" else kind]:
                say(f"{kind}: {each['project']}/{each['label']}: {problem_and_remedy(each, program)}")
    print_errors(found, program)


def print_errors(found: Result, program: str) -> None:
    """Print why pairs have no result."""
    for error in found["errors"]:
        complain(f"{program}: pair {error['pair']}: {error['error']}")


def problem_and_remedy(each: Result, program: str) -> str:
    """Return the problem of a record, and its remedy."""
    if "fields" in each:
        return f"{conflicting(each['fields'])}; use {program} resolve to take left, right or both"
    return with_local_times(f"{each['reason']}; {each['next']}" if "reason" in each else str(each["error"]))


def conflicting(fields: Sequence[str]) -> str:
    """Return what is wrong with a record in conflict."""
    return f"both sides changed {', '.join(fields)}"
