"""What the configuration, and the pairs that were added while running, say of each pair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from smtd import textfile
from smtd.config import Config, ConfigError, Pair, Store, check_pair, seconds
from smtd.engine.pair import Policy
from smtd.errors import UsageError
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.guards import DeletionLimit
from smtd.merge.sides import Both


@dataclass(frozen=True, slots=True)
class PairSettings:
    """One pair: the words for its stores, what the configuration says of them, and how it is kept.

    *renames* has the projects whose names differ, left and right. *settle*, *poll* and
    *prove_within* (0: not at all) are seconds. Equal settings need no new start.
    """

    name: str
    words: Both[str]
    stores: Both[Store | None]
    policy: Policy
    settle: float
    poll: float
    prove_within: float = 0.0
    renames: tuple[tuple[str, str], ...] = ()


def of(config: Config, added: Mapping[str, Pair]) -> dict[str, PairSettings]:
    """Return the settings of every pair, by name. Raises UsageError for what is not supported."""
    doubled = sorted(config.pairs.keys() & added.keys())
    if doubled:
        raise UsageError(f"pair {doubled[0]} is in the configuration and was added, too: remove one of them")
    return {name: _settings(name, pair, config) for name, pair in [*config.pairs.items(), *added.items()]}


def _settings(name: str, pair: Pair, config: Config) -> PairSettings:
    words = Both(pair.left, pair.right)
    stores = words.map(config.stores.get)
    known = [store for store in (stores.left, stores.right) if store is not None]
    default = Store(location="")
    return PairSettings(
        name,
        words,
        stores,
        Policy(
            projects=None if pair.projects is None else frozenset(pair.projects),
            mode=Mode(pair.mode),
            propagate_deletes=pair.deletes == "propagate",
            conflicts=Conflicts(pair.conflicts),
            hold_unfinished=pair.unfinished == "hold",
            limit=DeletionLimit(pair.max_deletes.count, float(pair.max_deletes.share.rstrip("%")) / 100),
            verify_within=min(seconds(store.verify_interval) for store in known or [default]),
            insist=False,
            stale_after=seconds(pair.stale_after),
        ),
        seconds(pair.settle),
        min(seconds(store.poll_interval) for store in known or [default]),
        seconds(pair.prove_within),
        tuple(pair.projects.items()) if isinstance(pair.projects, dict) else (),
    )


def encode(pairs: Mapping[str, Pair]) -> bytes:
    """Return *pairs* as the file that keeps them, in ASCII: a path need not be Unicode."""
    return json.dumps(msgspec.to_builtins(dict(pairs)), indent=2).encode("ascii")


def decode(data: bytes) -> dict[str, Pair]:
    """Return the pairs in such a file. Raises UsageError if it is damaged."""
    try:
        tables = msgspec.convert(json.loads(textfile.decode(data)), dict[str, dict[str, object]])
        return {name: check_pair(name, table) for name, table in tables.items()}
    except (msgspec.MsgspecError, ValueError, ConfigError) as exc:
        raise UsageError(
            f"the file of added pairs is damaged ({exc}); remove it, and add them again"
        ) from exc
