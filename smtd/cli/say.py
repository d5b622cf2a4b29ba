"""How all commands write: results to standard output, everything else to standard error.

Text from a record, a server or a file name cannot control a terminal, and cannot fake lines: each call
writes one line, escaped by `smtd/text.py`. No slow imports.
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
    """Write one line about an error, or about progress."""
    print(shown(line), file=sys.stderr)


def complain_of(program: str, exc: SmtdError) -> None:
    """Write the error *exc* with which *program* failed."""
    first, *more = str(exc).split("\n") if exc.has_lines else [str(exc)]
    for line in (f"{program}: {first}", *more):
        complain(line)


def say_json(value: Any) -> None:
    """Write *value* as one line of JSON, and flush it; all but printable ASCII is escaped."""
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)
