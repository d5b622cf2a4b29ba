"""Conditional writes to a dbm file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Swap(NamedTuple):
    """Replace the value *old* (None: the key is absent) by *new*."""

    old: bytes | None
    new: bytes


def unchanged(swaps: Mapping[bytes, Swap], values: Mapping[bytes, bytes]) -> dict[bytes, Swap]:
    """Return those of *swaps*, by key, whose keys still have their old values in *values*."""
    return {key: swap for key, swap in swaps.items() if values.get(key) == swap.old}
