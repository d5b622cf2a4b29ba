"""Counts in English. This module imports nothing, because `smtd-ctl` must start quickly."""

from __future__ import annotations


def plural(count: int, word: str, many: str = "") -> str:
    """Return *count* with *word*, or with its plural (*many*, else with an s)."""
    return f"{count:,} {word if count == 1 else many or f'{word}s'}"
