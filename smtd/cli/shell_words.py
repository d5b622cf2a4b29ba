"""Commands that a person can paste into a shell. No slow imports."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from smtd.text import shown

_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def command(*options: str, names: Iterable[str] = ()) -> str | None:
    """Return the command line of *options* and *names*, quoted; None if a shell cannot express it (a NUL).

    *names* are positional, whatever they begin with.
    """
    words = [*names]
    if any(word.startswith("-") for word in words):
        words = ["--", *words]
    line = [*options, *words]
    return None if any("\0" in word for word in line) else " ".join(map(quoted, line))


def quoted(word: str) -> str:
    """Return *word* as a shell reads it back, in printable characters.

    Characters that a terminal could obey are in `$'…'`, which bash, zsh, ksh and POSIX of 2024 know.
    """
    if shown(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def literal(label: str) -> str:
    """Return a glob that matches only *label*."""
    return re.sub(r"[*?[]", r"[\g<0>]", label)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if shown(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))
