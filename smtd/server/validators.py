"""ETags and the conditions that clients make with them (RFC 9110). Pure.

ETags are compared without `W/` and without an ending such as `-gzip`, which proxies add: `smt` sends back the
ETag that it got, and without this every run of it would fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b

#: What a compressing proxy appends to an ETag.
_PROXY_SUFFIXES = ("-gzip", ";gzip", "-br", "-zstd")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


class Precondition(Enum):
    """What follows from the conditions of a request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def etag(text: str) -> str:
    """Return *text* as an ETag."""
    return f'"{text}"'


def project_validator(*parts: object) -> str:
    """Return a text that changes if any of *parts* does: all on which the answer for a project depends."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def evaluated(headers: Mapping[str, str], current: str | None, *, reads: bool) -> Precondition:
    """Return what follows from the conditions in *headers* for a project or record.

    *current*: the text of its ETag now; None if it does not exist. *reads*: the request changes nothing.
    """
    wanted = headers.get("If-Match")
    if wanted is not None and not _matches(wanted, current):
        return Precondition.FAILED
    unwanted = headers.get("If-None-Match")
    if unwanted is not None and _matches(unwanted, current):
        return Precondition.NOT_MODIFIED if reads else Precondition.FAILED
    return Precondition.PROCEED


def _matches(header: str, current: str | None) -> bool:
    """Say whether *header* matches the ETag *current* (None: never)."""
    if current is None:
        return False
    return header.strip() == "*" or _without_suffix(current) in map(_without_suffix, _TAG.findall(header))


def _without_suffix(tag: str) -> str:
    for ending in _PROXY_SUFFIXES:
        tag = tag.removesuffix(ending)
    return tag
