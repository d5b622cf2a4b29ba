"""Convert texts that Python 2 wrote with `repr` into texts with the same meaning in Python 3.

Sumatra before 0.8 ran on Python 2 and stored dictionaries and lists as their `repr`: `45L` is a
number there, and a string without a `u` is a string of bytes, usually UTF-8.
"""

from __future__ import annotations

import re

from smtd.records import literal

#: A string, with its prefix if it has one, or a long integer. A string that never ends matches up to
#: the end of the text, so that the time depends only on the length of the text.
_TOKEN = re.compile(
    r"""[A-Za-z]{0,2}(?P<quoted>'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?)|(?<![\w.])(?P<long>\d+)L\b""",
    re.ASCII | re.DOTALL,
)


def text(source: str) -> str:
    """Return a text that Python 3 reads as Python 2 read *source*; text from Python 3 stays as it is.

    Python 2 writes ASCII only. Python 3 does not escape the letters with which every UTF-8 sequence
    begins. So a text that is ASCII and has such a sequence is from Python 2.
    """
    return _TOKEN.sub(_token, source) if source.isascii() else source


def _token(found: re.Match[str]) -> str:
    if found["long"]:
        return found["long"]
    whole = found[0]
    return _decoded(whole) if whole == found["quoted"] and "\\x" in whole else whole


def _decoded(quoted: str) -> str:
    """Return a string of bytes as the text that it encodes, if it is UTF-8."""
    try:
        held = literal.read(quoted)
        decoded = held.encode("latin-1").decode("utf-8")
    except (literal.NotLiteral, UnicodeError):
        return quoted
    return quoted if decoded == held else repr(decoded)
