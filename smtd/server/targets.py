"""What a path below `/records/` is about. Pure.

All that follows the project is the label, whatever it consists of: Sumatra allows slashes, colons and blanks
there. Paths come as the client sent them, and are unquoted here, once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

#: Where the API of Sumatra's clients begins.
RECORDS = "/records/"
#: The label that stands for the newest record, and what a label that stands for a tag begins with; unless a
#: record really has that label.
LAST, TAG = "last", "tag/"
#: Characters of a label that need no quoting in a path.
_PLAIN = "/:@!$&'()*+,;=~|"
_QUOTED = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadTarget(ValueError):
    """A path means nothing; the text says why, in a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Target:
    """A project, or with a *label* a record; without a *project* all of them."""

    project: str = ""
    label: str = ""


def parsed(path: str) -> Target | None:
    """Return what *path*, quoted and without its query, is about (None: it is not below `/records/`).

    The slash at the end may be missing. Raises BadTarget.
    """
    if path == RECORDS[:-1]:
        return Target()
    if not path.startswith(RECORDS):
        return None
    project, _, label = path.removeprefix(RECORDS).partition("/")
    if not project and label:
        raise BadTarget("a project has a name: write /records/PROJECT/")
    name = _unquoted(project)
    if "/" in name:
        raise BadTarget("the name of a project cannot have a slash")
    if name in (".", ".."):
        raise BadTarget("a project cannot be called . or ..")
    return Target(name, _unquoted(label.removesuffix("/")))


def _unquoted(text: str) -> str:
    if _QUOTED.search(text):
        raise BadTarget("in a path % is written %25")
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise BadTarget("a path is quoted UTF-8") from None
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in found):
        raise BadTarget("a path cannot have control characters")
    return found


def path(project: str, label: str | None = None) -> str:
    """Return the path of a project or record below `/records/`, without the slash at its beginning."""
    found = f"{quote(project, safe='')}/"
    return found if label is None else f"{found}{path_of_label(label)}"


def path_of_label(label: str) -> str:
    """Return the path of a record below its project. It has nothing that JSON would escape."""
    return f"{quote(label, safe=_PLAIN)}/"
