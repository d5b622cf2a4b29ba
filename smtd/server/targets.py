"""Which project or record a path below `/records/` means. Pure.

All that follows the project is the label, whatever its characters: Sumatra allows slashes, colons and blanks
in it. This module gets paths as the client sent them, and unquotes them once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

#: The path at which the API for Sumatra's clients begins.
RECORDS = "/records/"
#: The relation of a link to there, in answers to requests for what is not on this server.
RECORDS_RELATION = "https://smtd/records"
#: The path of smtd's own API, and that of the document which describes both.
API = "/api/v1/"
DOCUMENT = f"{API}openapi.json"
#: The label that means the newest record, and the beginning of a label that means a tag. A record that really
#: has such a label takes precedence.
LAST, TAG = "last", "tag/"
#: Characters of a label that need no quoting in a path.
_SAFE = "/:@!$&'()*+,;=~|"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadTarget(ValueError):
    """A path is invalid; the text says why, in a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Target:
    """A project; with a *label*, a record; without a *project*, all projects."""

    project: str = ""
    label: str = ""


def parsed(path: str) -> Target | None:
    """Return what *path*, quoted and without its query, means (None: it is not below `/records/`).

    It may lack the slash at its end. Raises BadTarget.
    """
    if path == RECORDS[:-1]:
        return Target()
    if not path.startswith(RECORDS):
        return None
    project, _, label = path.removeprefix(RECORDS).partition("/")
    if not project and label:
        raise BadTarget("a project must have a name: write /records/PROJECT/")
    name = _unquoted(project)
    if "/" in name:
        raise BadTarget("the name of a project cannot have a slash")
    if name in (".", ".."):
        raise BadTarget("a project cannot be called . or ..")
    return Target(name, _unquoted(label.removesuffix("/")))


def _unquoted(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise BadTarget("write % as %25 in a path")
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise BadTarget("a path must be percent-encoded UTF-8") from None
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in found):
        raise BadTarget("a path cannot have control characters")
    return found


def path(project: str, label: str | None = None) -> str:
    """Return the path of a project or record below `/records/`, without the slash at its beginning."""
    found = f"{quote(project, safe='')}/"
    return found if label is None else f"{found}{path_of_label(label)}"


def path_of_label(label: str) -> str:
    """Return the path of a record below its project. JSON needs to escape none of its characters."""
    return f"{quote(label, safe=_SAFE)}/"
