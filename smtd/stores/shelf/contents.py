"""What a shelf holds, the dbm file that holds it, and conditional writes to that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from smtd.stores.base import Token


class Swap(NamedTuple):
    """Replace the value *old* (None: the key is absent) by *new*."""

    old: bytes | None
    new: bytes


def unchanged(swaps: Mapping[bytes, Swap], values: Mapping[bytes, bytes]) -> dict[bytes, Swap]:
    """Return those of *swaps*, by key, whose keys still have their old values in *values*."""
    return {key: swap for key, swap in swaps.items() if values.get(key) == swap.old}


class DbmFile(Protocol):
    """One dbm file of some backend; blocking, called in threads only.

    Every method raises StoreUnreachable or StoreRefused, with the path, for a file that cannot
    be used.
    """

    @property
    def name(self) -> str:
        """Python's name of the backend."""

    @property
    def exclusive_writes(self) -> bool:
        """See Capabilities."""

    def read_only_reason(self) -> str:
        """Return why it cannot be written, as a sentence with the remedy (empty: it can)."""

    def token(self) -> Token:
        """Return a token that shows whether the file has changed since it was read; cheap."""

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        """Return all values by key at one moment, and the token of that moment.

        If the file may still change without a change of its token, the returned one is one that `token`
        never returns (see `without_youth`).
        """

    def flush(self) -> None:
        """Make durable what other programs have written. Raises OSError if the disk fails."""

    def try_write(self) -> str:
        """Try what a write needs as far as that leaves no trace; return what could not be tried, as a clause.

        Raises OSError, and StoreError for the reason why a write would fail.
        """

    def replace(self, swaps: Mapping[bytes, Swap]) -> set[bytes]:
        """Make the *swaps* whose keys still have their old values, and return those keys.

        They take effect in one step, durably and safely against crashes: a reader, even after a crash, finds
        all of them or none. Raises NotSettled if another program wrote at the same moment.
        """


@dataclass(frozen=True, slots=True)
class Contents:
    """The pickle of each project when the file had *token*, and the digest of each pickle."""

    pickles: Mapping[str, bytes]
    digests: Mapping[str, bytes]
    token: Token

    @classmethod
    def of(cls, values: Mapping[bytes, bytes], token: Token) -> Contents:
        """Return the contents of a file that holds *values*."""
        pickles = {key.decode("utf-8", "surrogateescape"): value for key, value in values.items()}
        return cls(pickles, {project: digest(pickle) for project, pickle in pickles.items()}, token)


def name(project: str) -> bytes:
    """Return the key of a project in the file."""
    return project.encode("utf-8", "surrogateescape")


def digest(pickle: bytes) -> bytes:
    """Return the digest that identifies a pickle."""
    return hashlib.blake2b(pickle, digest_size=16).digest()
