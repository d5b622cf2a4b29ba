"""`smtd-ctl`: control the running daemon. No slow imports, so that a simple request is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from smtd import __version__
from smtd.cli import records, status, streams, verify, waiting, web
from smtd.cli.client import (
    PATIENCE,
    add_group,
    add_options,
    add_verb,
    ask_daemon,
    exit_code,
    print_reports,
    say_result,
)
from smtd.cli.parser import VerbParser
from smtd.cli.say import complain_of, say_json
from smtd.cli.socket_path import any_socket_path
from smtd.cli.status_table import NO_PAIRS
from smtd.control.client import Result, ask, result
from smtd.errors import SmtdError

#: What is said of a pair for which a verb changed something, and of one for which it did not.
_OF_PAIRS = {"pause": ("paused", "was paused already"), "resume": ("resumed", "was not paused")}
#: The options of a pair that are one of a few words, the default first, with their help.
CHOICES = {
    "--mode": (("two-way", "left-to-right", "right-to-left"), "Direction in which changes are synced."),
    "--deletes": (("propagate", "keep"), "Whether to delete a record that was deleted on the other side."),
    "--unfinished": (
        ("hold", "mirror"),
        "Whether to sync a record only when its run is over, or also while it runs.",
    ),
}


def main() -> None:
    """Run `smtd-ctl` with the arguments of the command line."""
    streams.install()
    try:
        code = run(sys.argv[1:])
    except SystemExit as exc:  # of argparse: --help, or wrong usage
        code = exc.code if isinstance(exc.code, int) else 0
    sys.exit(streams.exit_code(code, "smtd-ctl"))


def run(words: Sequence[str], program: str = "smtd-ctl") -> int:
    """Run the command with the arguments *words*, and return the exit code.

    *program* is what the user called: `smtd-ctl`, or `smtd`, which has the same verbs.
    """
    arguments = parser(program).parse_words(words)
    try:
        code: int = arguments.do(arguments)
    except SmtdError as exc:
        complain_of(program, exc)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    return code


def parser(program: str = "smtd-ctl") -> VerbParser:
    """Return the parser of the command line; the man page and the completions are made from it, too."""
    top = VerbParser(
        prog=program,
        description="Control the smtd daemon.\n\nThese commands of smtd need a running daemon; this program"
        " starts faster.",
        epilog="Exit codes: 0 done; 1 done, but something remains (a conflict, a hold, a failed record);"
        " 2 wrong usage or configuration; 3 no daemon answers; 4 a store cannot be reached or read;"
        " 5 done, but the output cannot be written.",
    )
    version = f"{program}, version {__version__}"
    top.add_argument("--version", action="version", version=version, help="Show the version and exit.")
    top.set_defaults(program=program)
    add_options(top)
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    status.add_to(verbs)
    _add_sync(add_group(verbs, "sync", "Have the daemon sync now, or show what it would do."))
    verify.add_to(verbs)
    add_verb(verbs, "pause", _plain("pause"), "Stop syncing pairs until they are resumed.", pairs="+")
    add_verb(verbs, "resume", _plain("resume"), "Resume paused pairs.", pairs="+")
    _add_pair(add_group(verbs, "pair", "Add, remove and list pairs while the daemon runs."))
    waiting.add_to(verbs)
    records.add_to(verbs)
    web.add_to(verbs)
    events = add_verb(verbs, "events", _events, "Print events, one JSON object per line.")
    events.add_argument("--since", metavar="ID", type=int, default=0, help="Only events after ID.")
    events.add_argument("--last", metavar="N", type=int, help="Only the last N events and new ones.")
    events.add_argument("--follow", action="store_true", help="Keep printing new events.")
    more = "smtd backup copies the store of smtd's own server instead, unless it has the option --journal."
    backup = add_verb(verbs, "backup", _backup, "Copy the journal of the daemon to a new file.", more=more)
    backup.add_argument("file", metavar="FILE", help="The new file; it must not exist yet.")
    backup.add_argument("--journal", action="store_true", help="The same, in the words of smtd backup.")
    add_verb(verbs, "reload", _reload, "Reload the configuration.")
    add_verb(verbs, "stop", _plain("stop"), "Stop the daemon.")
    return top


def _add_sync(verbs: Any) -> None:
    now = add_verb(verbs, "now", _sync("sync now"), "Run a cycle now and wait for it.", pairs="*")
    now.add_argument(
        "--include-unfinished", action="store_true", help="Also sync records whose runs are not over."
    )
    now.add_argument("--plan", metavar="ID", help="Only if it matches plan ID.")
    plan = add_verb(verbs, "plan", _sync("sync plan"), "Show what the next cycle would do.", pairs="*")
    for verb in (now, plan):
        verb.add_argument(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="Stop waiting after SECONDS; the cycle continues. [default: no limit]",
        )


def _add_pair(verbs: Any) -> None:
    add = add_verb(verbs, "add", _pair_add, "Add a pair of stores to keep in sync.")
    add.add_argument("name", metavar="NAME", help="The name of the new pair.")
    for side in ("left", "right"):
        text = "A configured store, a project directory, a file or an address."
        add.add_argument(side, metavar=side.upper(), help=text)
    add.add_argument(
        "--project",
        dest="projects",
        action="append",
        metavar="NAME",
        help="Only this project (repeatable; '*' means all).",
    )
    for name, (words, text) in CHOICES.items():
        add.add_argument(name, choices=words, default=words[0], help=f"{text} [default: {words[0]}]")
    add_verb(verbs, "remove", _pair_remove, "Remove a pair that was added with pair add.").add_argument(
        "name", metavar="NAME", help="The name of the pair."
    )
    add_verb(verbs, "list", _pair_list, "List the pairs and their stores.")


def _plain(verb: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        found = ask_daemon(arguments, verb, pairs=getattr(arguments, "pairs", []))
        say_result(arguments, found, done(verb, found))
        return 0

    return do


def done(verb: str, found: Result) -> Iterator[str]:
    """Yield what *verb* (pause, resume, stop) did."""
    if verb == "stop":
        # One of an earlier version does not say which it is.
        yield "smtd serve is stopping" if found.get("only_serves") else "smtd is stopping"
        return
    changed, same = _OF_PAIRS[verb]
    # A daemon of an earlier version names no pairs.
    for name in found.get("pairs", ()):
        yield f"{name}: {changed if name in found['changed'] else same}"
    if not found.get("pairs", True):
        yield NO_PAIRS


def _sync(verb: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        found = ask_daemon(
            arguments,
            verb,
            None,
            pairs=arguments.pairs,
            include_unfinished=getattr(arguments, "include_unfinished", False),
            plan=getattr(arguments, "plan", None),
            timeout=arguments.timeout,
            progress=sys.stderr.isatty(),
        )
        if arguments.json:
            say_json(found)
        else:
            print_reports(found, arguments.program, planned=verb == "sync plan")
        return exit_code(found)

    return do


def _events(arguments: Any) -> int:
    asked = {"verb": "events", "since": arguments.since, "follow": arguments.follow}
    if arguments.last is not None:
        asked["last"] = arguments.last
    if arguments.follow:
        streams.end_with_reader()
    for answer in ask(any_socket_path(arguments.socket), asked, None if arguments.follow else PATIENCE):
        say_json(answer)
        if streams.is_lost():
            break
    return 0


def _backup(arguments: Any) -> int:
    found = ask_daemon(arguments, "backup", None, file=os.path.abspath(os.path.expanduser(arguments.file)))
    say_result(arguments, found, [f"{found['file']}  {found['bytes']:,} bytes"])
    return 0


def _reload(arguments: Any) -> int:
    try:
        found = ask_daemon(arguments, "reload", None)
    except SmtdError as exc:
        exc.has_lines = True  # all mistakes in the configuration
        raise
    say_result(arguments, found, _reloaded(found))
    return 0


def _reloaded(found: Result) -> Iterator[str]:
    named = {what: names for what, names in found.items() if names}
    yield "configuration reloaded" if named else "configuration reloaded; no pair has changed"
    for what, names in named.items():
        yield f"{what}: {', '.join(names)}"


def _pair_add(arguments: Any) -> int:
    names = ("left", "right", "projects", "mode", "deletes", "unfinished")
    pair = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    for side in ("left", "right"):
        if is_path(pair[side]):
            pair[side] = os.path.abspath(os.path.expanduser(pair[side]))
    found = ask_daemon(arguments, "pair add", None, name=arguments.name, pair=pair)
    say_result(arguments, found, [f"{arguments.name}: added"])
    return 0


def is_path(word: str) -> bool:
    """Say whether *word* is the path of a file or directory, not the name of a configured store."""
    if "/" in word or os.path.exists(os.path.expanduser(word)):
        return "://" not in word
    from smtd.stores.registry import DRIVERS  # here: it takes longer than all else

    # A file that does not exist yet; nothing else has such an ending.
    return any(word.endswith(driver.files.new) for driver in DRIVERS if driver.files)


def _pair_remove(arguments: Any) -> int:
    found = ask_daemon(arguments, "pair remove", None, name=arguments.name)
    say_result(arguments, found, [f"{arguments.name}: removed; both stores stay as they are"])
    return 0


def pair_names() -> list[str]:
    """Return the names of the daemon's pairs; none if no daemon answers."""
    try:
        found = result(any_socket_path(None), {"verb": "pair list"}, PATIENCE)
    except SmtdError:
        return []
    return [str(pair["pair"]) for pair in found["pairs"]]


def _pair_list(arguments: Any) -> int:
    found = ask_daemon(arguments, "pair list")
    lines = [
        f"{pair['pair']}: {pair['left']} {pair['mode']} {pair['right']}{'  (added)' if pair['added'] else ''}"
        for pair in found["pairs"]
    ]
    say_result(arguments, found, lines or [NO_PAIRS])
    return 0


if __name__ == "__main__":
    main()
