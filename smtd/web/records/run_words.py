"""The status of a run and the tags of its record, as people see them: Sumatra stores both as tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from smtd.records import tags
from smtd.records.tags import STATUS_TAGS


def status(names: Iterable[str]) -> str:
    """Return the status that the tags *names* say, as a word; empty if they say none."""
    found = [(tags.stage([name]) or 0, name) for name in names if name in STATUS_TAGS]
    return max(found)[1].strip("_.") if found else ""


def own_tags(names: Iterable[str]) -> list[str]:
    """Return those of the tags *names* that people gave, sorted."""
    return sorted(name for name in names if name not in STATUS_TAGS)


def typed_tags(text: str) -> frozenset[str]:
    """Return the tags in *text*, in which commas separate them, as a relational store will return them."""
    words = (word.strip() for word in text.replace("\n", ",").split(","))
    return tags.normalized(word for word in words if word) - STATUS_TAGS


def joined_tags(names: Iterable[str]) -> str:
    """Return the tags *names* as a text for a field of one line, which `typed_tags` reads."""
    return ", ".join(sorted(map(one_line, names)))


def one_line(text: str) -> str:
    """Return *text* with a space for each line break: a browser drops line breaks in a field of one line."""
    return re.sub(r"\r\n|[\r\n]", " ", text)
