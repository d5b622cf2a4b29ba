"""`smtd-ctl status`: the state of all pairs, once or again and again. No slow imports."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from smtd.cli import streams
from smtd.cli.client import add_verb, ask_daemon
from smtd.cli.say import say, say_json, say_lines
from smtd.cli.socket_path import any_socket_path, is_of_server
from smtd.cli.status_table import counts, is_left, progress, status_lines
from smtd.control.client import Result
from smtd.output.local_time import local_now


def add_to(verbs: Any) -> None:
    """Add the verb to the parser's *verbs*."""
    add_verb(verbs, "status", _status, "Show the state of all pairs.", pairs="*").add_argument(
        "--watch",
        action="store_true",
        help="Keep showing it, with the last events; q quits. Without a terminal: a line for each change.",
    )


def _status(arguments: Any) -> int:
    found = ask_daemon(arguments, "status", pairs=arguments.pairs)
    if arguments.watch:
        return _watch(arguments, found)
    if arguments.json:
        say_json(found)
    elif not found["pairs"] and is_of_server(any_socket_path(arguments.socket)):
        say("no daemon runs: smtd serve answers, which syncs no pairs; smtd run does")
    else:
        width = None
        if sys.stdout.isatty():
            width = streams.terminal_size(1).columns
        say_lines(status_lines(found["pairs"], width=width, colour=sys.stdout.isatty()))
    return int(is_left(found["pairs"]))


def _watch(arguments: Any, found: Result) -> int:
    if not arguments.json and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from smtd.cli import status_watch  # not every terminal is watched

        return status_watch.run(arguments, found)
    before: dict[str, str] = {}
    for latest in _each_second(arguments, found):
        if arguments.json:
            say_json(latest)
        else:
            before = _print_changes(before, latest)
    return int(is_left(latest["pairs"]))


def _each_second(arguments: Any, found: Result) -> Iterator[Result]:
    """Yield the status, *found* first, every second until the reader of the output goes away."""
    streams.end_with_reader()
    while True:
        yield found
        sys.stdout.flush()
        if streams.is_lost():
            return
        time.sleep(1)
        found = ask_daemon(arguments, "status", pairs=arguments.pairs)


def _print_changes(before: dict[str, str], found: Result) -> dict[str, str]:
    """Print a line for each pair whose summary differs from that *before*; return the summaries by pair."""
    now = {pair["pair"]: _summary(pair) for pair in found["pairs"]}
    for name in before.keys() - now.keys():
        say(f"{local_now()}  {name}: removed")
    for name, text in now.items():
        if before.get(name) != text:
            say(f"{local_now()}  {name}: {text}")
    return now


def _summary(pair: Result) -> str:
    """Return the state of a pair on one line, without what changes by itself."""
    problem = f": {pair['problem']}" if pair["problem"] else ""
    return f"{progress(pair)}: {counts(pair)}{problem}"
