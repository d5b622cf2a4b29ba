"""Show text from other sources (a record, a server, a file name) safely; smtd has no other way.

Such a text may control a terminal (escape sequences, a carriage return), fake lines, change the direction of
writing, or contain what no file or socket can hold (lone surrogates). Each of these is shown as a readable
escape, such as `\\x1b`.
"""

from __future__ import annotations

import re

#: C0 and C1 controls and DEL; line and paragraph separators; marks, embeddings, overrides and isolates of
#: the direction; invisible characters that make two names look like one; lone surrogates.
_HARMFUL = (
    r"\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff"
)
_ON_A_LINE = re.compile(f"[{_HARMFUL}]|[\U000e0000-\U000e007f]")
_ON_LINES = re.compile(f"(?![\n\t])(?:{_ON_A_LINE.pattern})")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def shown(text: str) -> str:
    """Return *text* on one line, as it can be shown on any terminal and in any log."""
    # Nearly all text passes this quick check.
    return text if text.isascii() and text.isprintable() else _ON_A_LINE.sub(_escape, text)


def shown_lines(text: str) -> str:
    """Return *text* as `shown` does, but keep line breaks and tabs: for text that smtd has put together."""
    return _ON_LINES.sub(_escape, text)


def encodable(text: str) -> str:
    """Return *text* in a form that JSON, a database and a socket can hold: lone surrogates are escaped."""
    return text if text.isascii() else _SURROGATES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if named := _NAMED.get(character):
        return named
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
