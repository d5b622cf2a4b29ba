"""How all commands write: results to standard output, everything else to standard error.

Text from a record, a server or a file name cannot control a terminal, and cannot fake lines: each call
writes one line, escaped by `smtd/text.py`. No slow imports.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from smtd.errors import SmtdError
from smtd.output.local_time import with_local_times
from smtd.text import shown


def say(line: str) -> None:
    """Write one line of a result."""
    print(shown(line))


def say_lines(lines: Iterable[str]) -> None:
    """Write lines of a result that are shown already (`smtd/text.py`) and may have colours."""
    print("\n".join(lines), flush=True)


def complain(line: str) -> None:
    """Write one line about an error, or about progress."""
    print(shown(line), file=sys.stderr)


def complain_of(program: str, exc: SmtdError) -> None:
    """Write the error *exc* with which *program* failed."""
    first, *more = str(exc).split("\n") if exc.has_lines else [str(exc)]
    for line in (f"{program}: {first}", *more):
        complain(with_local_times(line))


def say_json(value: Any) -> None:
    """Write *value* as one line of JSON, and flush it; all but printable ASCII is escaped."""
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)
