"""ETags and the conditions that clients make with them (RFC 9110). Pure.

They are compared without `W/` and without an ending such as `-gzip`, which proxies add: `smt` sends back what
it got, and every run of it would fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b

#: What a compressing proxy puts at the end of an ETag.
_ENDINGS = ("-gzip", ";gzip", "-br", "-zstd")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


class Precondition(Enum):
    """What a request's conditions say."""

    GO_ON = "go on"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def etag(text: str) -> str:
    """Return *text* as an ETag."""
    return f'"{text}"'


def project_validator(*parts: object) -> str:
    """Return what differs for a project that would be shown otherwise; *parts* are what that depends on."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def judged(headers: Mapping[str, str], current: str | None, *, reads: bool) -> Precondition:
    """Return what the conditions in *headers* say of what is there now.

    *current*: the text of its ETag, None if it is not there. *reads*: nothing is to be changed.
    """
    wanted = headers.get("If-Match")
    if wanted is not None and not _names(wanted, current):
        return Precondition.FAILED
    unwanted = headers.get("If-None-Match")
    if unwanted is not None and _names(unwanted, current):
        return Precondition.NOT_MODIFIED if reads else Precondition.FAILED
    return Precondition.GO_ON


def _names(header: str, current: str | None) -> bool:
    """Say whether *header* names what is there, which has the ETag *current*."""
    if current is None:
        return False
    return header.strip() == "*" or _bare(current) in map(_bare, _TAG.findall(header))


def _bare(tag: str) -> str:
    for ending in _ENDINGS:
        tag = tag.removesuffix(ending)
    return tag
