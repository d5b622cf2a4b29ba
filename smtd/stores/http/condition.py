"""The conditions under which a server is to carry out a request: headers, which an old server ignores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

RequestCondition: TypeAlias = Mapping[str, str]

#: A request is to be carried out in any case; only if nothing is there.
NO_CONDITION: RequestCondition = {}
IF_ABSENT: RequestCondition = {"If-None-Match": "*"}


def if_match(etag: str) -> RequestCondition:
    """Return the condition that what has *etag* is still there (empty: the server gives none)."""
    return {"If-Match": etag} if etag else NO_CONDITION
