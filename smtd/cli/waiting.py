"""The verbs of `smtd-ctl` about what waits for a person: conflicts, holds, and the decisions about them."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from smtd.cli.client import add_group, add_verb, ask_daemon, conflicting, print_reports, say_result
from smtd.cli.say import say_json
from smtd.cli.shell_words import command, literal
from smtd.cli.status_table import NO_PAIRS
from smtd.control.client import Result
from smtd.errors import UsageError
from smtd.output.counts import plural
from smtd.output.local_time import local_time, with_local_times

#: The most records of a group that are listed; the most characters of labels in one command, so that one
#: request holds them.
LISTED, NAMED = 20, 8_000


def add_to(verbs: Any) -> None:
    """Add the verbs about what waits to the parser's *verbs*."""
    add_verb(verbs, "conflicts", _listed("conflicts"), "List the records that both sides changed.", pairs="*")
    _add_resolve(verbs)
    add_verb(verbs, "holds", _listed("holds"), "List held actions, and why they are held.", pairs="*")
    what = add_group(verbs, "deletes", "Approve or reject held deletions.")
    for name, text in (
        ("approve", "Carry out held deletions."),
        ("reject", "Restore the records where they were deleted."),
    ):
        verb = add_verb(what, name, _deletes(name), text, pairs="1")
        verb.add_argument("labels", metavar="LABEL", nargs="*", help="A label or a glob. [default: all]")
        verb.add_argument("--project", metavar="NAME", help="Only in this project. [default: all]")


def _add_resolve(verbs: Any) -> None:
    resolve = add_verb(verbs, "resolve", _resolve, "Resolve conflicts.", pairs="1")
    resolve.add_argument("project", metavar="PROJECT", nargs="?", help="A name; with --all also a glob.")
    resolve.add_argument("labels", metavar="LABEL", nargs="*", help="A name; with --all also a glob.")
    resolve.add_argument(
        "--take",
        choices=("left", "right", "both"),
        required=True,
        help="Keep the record of this side, or both (the right one under another label).",
    )
    resolve.add_argument(
        "--all", action="store_true", help="Resolve all conflicts matching PROJECT and LABEL."
    )


def _resolve(arguments: Any) -> int:
    if not arguments.all and (arguments.project is None or not arguments.labels):
        raise UsageError("name a project and a label, or use --all")
    asked = {name: getattr(arguments, name) for name in ("pair", "project", "take", "all")}
    return _decided(arguments, "resolve", **asked, labels=arguments.labels)


def _deletes(what: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        asked = {name: getattr(arguments, name) for name in ("pair", "labels", "project")}
        return _decided(arguments, f"deletes {what}", **asked)

    return do


def _decided(arguments: Any, verb: str, **asked: Any) -> int:
    found = ask_daemon(arguments, verb, None, **asked, progress=sys.stderr.isatty())
    if arguments.json:
        say_json(found)
    else:
        print_reports({**found, "errors": []}, arguments.program)
    return 0 if found["ok"] else 1


def _listed(what: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        found = ask_daemon(arguments, what, pairs=arguments.pairs)
        say_result(arguments, found, _what_waits(arguments, what, found[what]))
        return int(bool(found[what]))

    return do


def _what_waits(arguments: Any, what: str, found: Sequence[Result]) -> Iterator[str]:
    """Yield the conflicts or holds *found*, by group; if there are none, that, as far as the daemon knows."""
    socket = [] if arguments.socket is None else ["--socket", arguments.socket]
    for number, group in enumerate(groups(found)):
        if number:
            yield ""
        yield from group_lines(group, [arguments.program, *socket])
    if not found:
        yield from nothing_waits(what, ask_daemon(arguments, "status", pairs=arguments.pairs)["pairs"])


def nothing_waits(what: str, pairs: Sequence[Result]) -> Iterator[str]:
    """Yield that there are no conflicts or holds (*what*), as far as that is known of *pairs*, by status."""
    if not pairs:
        yield NO_PAIRS
        return
    unknown = [pair for pair in pairs if pair["last_cycle"] is None]
    if len(unknown) < len(pairs):
        yield f"No {what}."
    for pair in unknown:
        yield f"{pair['pair']}: not known yet: it has not been synced since smtd started ({pair['state']})"


def groups(found: Sequence[Result]) -> list[list[Result]]:
    """Return the conflicts or holds *found* in groups of one pair, project and reason, in their order."""
    grouped: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for each in found:
        grouped[each["pair"], each["project"], each.get("kind", "conflict"), _reason(each)].append(each)
    return list(grouped.values())


def group_lines(group: Sequence[Result], program: Sequence[str]) -> Iterator[str]:
    """Yield what waits in *group*, why, what would release it, and the commands of *program* that do."""
    first = group[0]
    kind = first.get("kind", "conflict")
    count = plural(len(group), {"conflict": "conflict", "deletion": "held deletion"}.get(kind, "hold"))
    yield f"{first['pair']}: {count} in {first['project']}: {with_local_times(_reason(first))}"
    for each in group[:LISTED]:
        until = f"  (until {local_time(each['until'])})" if each.get("until") else ""
        yield f"  {each['project']}/{each['label']}{until}"
    if len(group) > LISTED:
        yield f"  and {len(group) - LISTED:,} more (--json lists all)"
    yield f"  {_next_step(kind, first)}"
    yield from _commands(kind, group, program)


def _reason(each: Result) -> str:
    return str(each["reason"]) if "reason" in each else conflicting(each["fields"])


def _next_step(kind: str, first: Result) -> str:
    if kind == "conflict":
        return "take left, right, or both (the right record then gets another label):"
    return with_local_times(first["next"])


def _commands(kind: str, group: Sequence[Result], program: Sequence[str]) -> Iterator[str]:
    """Yield the commands that decide the first record of *group*, and all of it."""
    from smtd.engine.report import Hold, Question  # here: most commands do not need it

    pair, project = group[0]["pair"], group[0]["project"]
    if kind == "running":
        yield f"    {command(*program, 'sync', 'now', '--include-unfinished', names=[pair])}"
        return
    choices: list[tuple[str, ...]] = []
    question = Question.SIDE if kind == "conflict" else Hold(kind).question
    if question is Question.DELETION:
        choices = [("deletes", "reject"), ("deletes", "approve")]
    elif question is Question.SIDE:
        choices = [("resolve", "--take", "left")]
    labels = [each["label"] for each in group if "\0" not in each["project"] + each["label"]]
    if choices and len(labels) < len(group):
        yield "  no command line can name a label with a NUL; decide it with --all and globs"
    for words in choices:
        if len(group) > 1 and labels:
            yield f"    {_decision(program, words, pair, project, labels[:1])}"
        for part in _parts(labels):
            yield f"    {_decision(program, words, pair, project, part)}"


def _parts(labels: Sequence[str]) -> Iterator[list[str]]:
    """Yield *labels* in lists that fit into one request."""
    part: list[str] = []
    for label in labels:
        if part and sum(map(len, part)) + len(label) > NAMED:
            yield part
            part = []
        part.append(label)
    if part:
        yield part


def _decision(
    program: Sequence[str], words: Sequence[str], pair: str, project: str, labels: Sequence[str]
) -> str | None:
    """Return the command that decides exactly these *labels* of *project*."""
    if words[0] == "resolve":
        return command(*program, *words, names=[pair, project, *labels])
    return command(*program, *words, f"--project={project}", names=[pair, *map(literal, labels)])
