"""The one way in which the commands write: results to standard output, all else to standard error.

What a record, a server or a file name says is never obeyed by a terminal, and makes up no lines: each call
writes one line, as `smtd/text.py` shows it. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from smtd.errors import SmtdError
from smtd.text import shown


def say(line: str) -> None:
    """Write one line of a result."""
    print(shown(line))


def complain(line: str) -> None:
    """Write one line about what went wrong, or goes on."""
    print(shown(line), file=sys.stderr)


def complain_of(program: str, exc: SmtdError) -> None:
    """Write what *program* failed with."""
    first, *more = str(exc).split("\n") if exc.has_lines else [str(exc)]
    for line in (f"{program}: {first}", *more):
        complain(line)


def say_json(value: Any) -> None:
    """Write *value* as one line of JSON, at once; all that is not plain ASCII text is escaped in it."""
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)
