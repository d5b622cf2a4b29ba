"""The style sheet, the script and the icon of the pages.

Their addresses change with their content, so that a browser keeps them for ever and is never out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from importlib import resources
from typing import NamedTuple

#: The path below which they are.
ASSETS = "/assets/"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file for browsers, and a short hash of its content."""

    content: bytes
    media_type: str
    version: str


def load() -> Mapping[str, Asset]:
    """Return all files for browsers, by name. Blocks."""
    found = {}
    for file in (resources.files("smtd.web") / "assets").iterdir():
        if (media_type := _TYPES.get(file.name.rpartition(".")[2])) is not None:
            content = file.read_bytes()
            version = blake2b(content, digest_size=6).hexdigest()
            found[file.name] = Asset(content, media_type, version)
    return found
