"""`smtd-ctl verify`: compare the actual contents of both sides of pairs."""

from __future__ import annotations

import sys
from typing import Any

from smtd.cli.client import add_verb, ask_daemon, exit_code, print_errors
from smtd.cli.say import say, say_json
from smtd.control.client import Result
from smtd.output.counts import plural
from smtd.output.local_time import with_local_times


def add_to(verbs: Any) -> None:
    """Add the verb to the parser's *verbs*."""
    verify = add_verb(verbs, "verify", _verify, "Compare the actual contents of both sides.", pairs="*")
    verify.add_argument("--deep", action="store_true", help="Read every record of both stores.")


def _verify(arguments: Any) -> int:
    found = ask_daemon(
        arguments,
        "verify",
        None,
        pairs=arguments.pairs,
        deep=arguments.deep,
        progress=sys.stderr.isatty(),
    )
    if arguments.json:
        say_json(found)
    else:
        _show_proofs(found, arguments.program)
    return exit_code(found)


def _show_proofs(found: Result, program: str) -> None:
    for pair in found["pairs"]:
        counts = [f"{pair['compared']:,} compared", f"{pair['equal']:,} equal"]
        for kind, word in (("explained", "known difference"), ("findings", "unexpected difference")):
            if pair[kind]:
                counts.append(plural(len(pair[kind]), word))
        say(f"{pair['pair']}: {', '.join(counts)}")
        for each in pair["explained"]:
            fields = f" ({', '.join(each['fields'])})" if each["fields"] else ""
            reason = with_local_times(each["reason"])
            say(f"known: {each['project']}/{each['label']}: {reason}{fields}")
        for each in pair["findings"]:
            say(f"found: {each['project']}/{each['label']}: {each['what']}; {each['next']}")
    print_errors(found, program)
