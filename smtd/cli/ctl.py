"""`smtd-ctl`: control the running daemon. No slow imports, so that a simple request is quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from smtd import __version__
from smtd.cli import records, status, streams, verify, waiting, web
from smtd.cli.client import PATIENCE, add_options, add_verb, ask_daemon, print_reports, result_of
from smtd.cli.say import complain_of, say, say_json
from smtd.cli.socket_path import socket_path
from smtd.control.client import ask
from smtd.errors import SmtdError
from smtd.text import shown_lines

#: A bare name with one of these endings is that of a file, even if it does not exist yet.
_STORE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".shelf", ".json")


def main() -> None:
    """Run `smtd-ctl` with the arguments of the command line."""
    streams.install()
    try:
        code = run(sys.argv[1:])
    except SystemExit as exc:  # of argparse: --help, or wrong usage
        code = exc.code if isinstance(exc.code, int) else 0
    sys.exit(streams.exit_code(code, "smtd-ctl"))


def run(words: Sequence[str]) -> int:
    """Run the command with the arguments *words*, and return the exit code."""
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.do(arguments)
    except SmtdError as exc:
        complain_of("smtd-ctl", exc)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    return code


class _Parser(argparse.ArgumentParser):
    """Shows wrong arguments with control characters escaped: they may be names of files."""

    def error(self, message: str) -> NoReturn:
        super().error(shown_lines(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the man page and the completions are made from it, too."""
    top = _Parser(
        prog="smtd-ctl",
        description="Control the smtd daemon.",
        epilog="Exit codes: 0 done; 1 done, but something remains (a conflict, a hold, a failed record);"
        " 2 wrong usage or configuration; 3 no daemon answers; 4 a store cannot be reached or read;"
        " 5 done, but the output cannot be written.",
    )
    top.add_argument("--version", action="version", version=f"smtd-ctl {__version__}")
    add_options(top)
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    status.add_to(verbs)
    sync = verbs.add_parser("sync", help="run a cycle").add_subparsers(metavar="WHAT", required=True)
    now = add_verb(sync, "now", _sync("sync now"), "run a cycle now and wait for it", pairs="*")
    now.add_argument(
        "--include-unfinished", action="store_true", help="also sync records whose runs are not over"
    )
    now.add_argument("--plan", metavar="ID", help="only if it matches plan ID")
    plan = add_verb(sync, "plan", _sync("sync plan"), "show what the next cycle would do", pairs="*")
    for verb in (now, plan):
        verb.add_argument(
            "--timeout",
            type=float,
            metavar="SECONDS",
            help="stop waiting after SECONDS; the cycle continues [default: no limit]",
        )
    verify.add_to(verbs)
    add_verb(verbs, "pause", _plain("pause"), "stop syncing these pairs until they are resumed", pairs="+")
    add_verb(verbs, "resume", _plain("resume"), "resume these pairs", pairs="+")
    _add_pair(verbs.add_parser("pair", help="add, remove and list pairs"))
    waiting.add_to(verbs)
    records.add_to(verbs)
    web.add_to(verbs)
    events = add_verb(verbs, "events", _events, "print events, one JSON object per line")
    events.add_argument("--since", metavar="ID", type=int, default=0, help="only events after ID")
    events.add_argument("--last", metavar="N", type=int, help="only the last N events and new ones")
    events.add_argument("--follow", action="store_true", help="keep printing new events")
    backup = add_verb(verbs, "backup", _backup, "copy the journal to a new file while the daemon runs")
    backup.add_argument("file", metavar="FILE", help="new file to write; it must not exist yet")
    add_verb(verbs, "reload", _reload, "reload the configuration")
    add_verb(verbs, "stop", _plain("stop"), "stop the daemon")
    return top


def _add_pair(pair: argparse.ArgumentParser) -> None:
    verbs = pair.add_subparsers(metavar="WHAT", required=True)
    add = add_verb(verbs, "add", _pair_add, "add a pair of stores to keep in sync")
    add.add_argument("name", metavar="NAME", help="name of the new pair")
    for side in ("left", "right"):
        text = "a configured store, a project directory, a file or an address"
        add.add_argument(side, metavar=side.upper(), help=text)
    add.add_argument(
        "--project",
        dest="projects",
        action="append",
        metavar="NAME",
        help="only this project (repeatable); '*' means all",
    )
    for name, words, text in (
        ("--mode", ("two-way", "left-to-right", "right-to-left"), "direction in which changes are synced"),
        ("--deletes", ("propagate", "keep"), "whether to delete a record that was deleted on the other side"),
        (
            "--unfinished",
            ("hold", "mirror"),
            "sync a record only when its run is over, or while it runs, too",
        ),
    ):
        add.add_argument(name, choices=words, default=words[0], help=f"{text} [default: {words[0]}]")
    add_verb(verbs, "remove", _pair_remove, "remove a pair that was added with pair add").add_argument(
        "name", metavar="NAME"
    )
    add_verb(verbs, "list", _pair_list, "list the pairs and their stores")


def _plain(verb: str) -> Callable[[Any], int]:
    def do(arguments: Any) -> int:
        found = ask_daemon(arguments, verb, pairs=getattr(arguments, "pairs", []))
        if arguments.json:
            say_json(found)
        return 0

    return do


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
            print_reports(found, planned=verb == "sync plan")
        codes = [int(error["code"]) for error in found["errors"]]
        return max(int(not found["ok"]), *codes, 0)

    return do


def _events(arguments: Any) -> int:
    asked = {"verb": "events", "since": arguments.since, "follow": arguments.follow}
    if arguments.last is not None:
        asked["last"] = arguments.last
    if arguments.follow:
        streams.end_with_reader()
    for answer in ask(socket_path(arguments.socket), asked, None if arguments.follow else PATIENCE):
        say_json(result_of(answer))
        if streams.is_lost():
            break
    return 0


def _backup(arguments: Any) -> int:
    found = ask_daemon(arguments, "backup", None, file=os.path.abspath(os.path.expanduser(arguments.file)))
    if arguments.json:
        say_json(found)
    else:
        say(f"{found['file']}  {found['bytes']:,} bytes")
    return 0


def _reload(arguments: Any) -> int:
    try:
        found = ask_daemon(arguments, "reload", None)
    except SmtdError as exc:
        exc.has_lines = True  # all mistakes in the configuration
        raise
    if arguments.json:
        say_json(found)
        return 0
    for what, names in found.items():
        if names:
            say(f"{what}: {', '.join(names)}")
    return 0


def _pair_add(arguments: Any) -> int:
    names = ("left", "right", "projects", "mode", "deletes", "unfinished")
    pair = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    for side in ("left", "right"):
        if _is_path(pair[side]):
            pair[side] = os.path.abspath(os.path.expanduser(pair[side]))
    found = ask_daemon(arguments, "pair add", None, name=arguments.name, pair=pair)
    if arguments.json:
        say_json(found)
    return 0


def _is_path(word: str) -> bool:
    """Say whether *word* is the path of a file or directory, not the name of a configured store."""
    is_file = word.endswith(_STORE_SUFFIXES) or os.path.exists(os.path.expanduser(word))
    return "://" not in word and ("/" in word or is_file)


def _pair_remove(arguments: Any) -> int:
    found = ask_daemon(arguments, "pair remove", None, name=arguments.name)
    if arguments.json:
        say_json(found)
    return 0


def _pair_list(arguments: Any) -> int:
    found = ask_daemon(arguments, "pair list")
    if arguments.json:
        say_json(found)
    else:
        for pair in found["pairs"]:
            added = "  (added)" if pair["added"] else ""
            say(f"{pair['pair']}: {pair['left']} {pair['mode']} {pair['right']}{added}")
    return 0


if __name__ == "__main__":
    main()
