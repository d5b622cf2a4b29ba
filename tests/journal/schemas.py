"""The schema of each earlier version of the journal."""

from __future__ import annotations

import re
from pathlib import Path

#: Each part begins with a line that has the first and the last version with it.
_TEXT = Path(__file__).with_name("schemas.sql").read_text("utf-8")
_HEADING = re.compile(r"^--- from (\d+) to (\d+)$", re.MULTILINE)


def schema(version: int) -> str:
    """Return the statements that created a journal of *version*."""
    _, *parts = _HEADING.split(_TEXT)
    there = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return "".join(part for first, last, part in there if int(first) <= version <= int(last))
