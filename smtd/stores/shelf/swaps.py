"""What is to be stored in a dbm file, and on which condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Swap(NamedTuple):
    """Put *new* in the place of the value *old* (None: of none)."""

    old: bytes | None
    new: bytes


def unchanged(swaps: Mapping[bytes, Swap], values: Mapping[bytes, bytes]) -> dict[bytes, Swap]:
    """Return those of *swaps*, by key, whose old values are among *values*."""
    return {key: swap for key, swap in swaps.items() if values.get(key) == swap.old}
