"""The settings of each pair, from the configuration and from the pairs that were added while running."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from smtd import pairing
from smtd.config import Config, PairConfig, StoreConfig, seconds
from smtd.engine.pair import Policy
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.deletion_guard import DeletionLimit
from smtd.merge.sides import SIDES, Both
from smtd.stores.discovery import candidates
from smtd.stores.location import Location


@dataclass(frozen=True, slots=True)
class PairSettings:
    """One pair: the names of its stores, their settings in the configuration, and how the pair is synced.

    *renames* has the left and right names of the projects, if the configuration gives both. *settle*, *poll*
    and *prove_within* (0: not at all) are seconds. *everything*: the configuration asks for all projects
    ("*"). A worker whose settings stay equal is not restarted.
    """

    name: str
    words: Both[str]
    stores: Both[StoreConfig | None]
    policy: Policy
    settle: float
    poll: float
    prove_within: float = 0.0
    renames: tuple[tuple[str, str], ...] = ()
    everything: bool = False

    @property
    def names_projects(self) -> bool:
        """Whether the configuration says which projects to sync; else the locations of the stores do."""
        return self.everything or self.policy.projects is not None

    @property
    def places(self) -> Iterator[Path]:
        """The files that the stores may have, derived from their names alone, before the stores are found."""
        for side in SIDES:
            store = self.stores[side]
            word = self.words[side] if store is None else store.location
            if "://" not in word:
                yield from candidates(Path(os.path.expanduser(word)))

    def scoped(self, locations: Both[Location]) -> Policy:
        """Return the policy with the projects that the pair syncs if its stores are at *locations*.

        Raises UsageError if both are project directories, of different projects, and the configuration does
        not say which projects to sync.
        """
        if self.names_projects:
            return self.policy
        how = (
            f'in pair {self.name}: projects = ["NAME"], ["*"] for all, or {{ LEFT = "RIGHT" }} for two names'
        )
        return replace(self.policy, projects=pairing.projects(locations, how))


def narrowed(name: str, project: str) -> str:
    """Return the warning that the pair *name* once synced all projects, and now only *project*."""
    return (
        f"pair {name} syncs only project {project}, because one of its stores is the directory of that"
        f' project; earlier versions synced all projects: set projects = ["*"] in [pairs.{name}] for all,'
        f' or projects = ["{project}"]'
    )


def of(config: Config, added: Mapping[str, PairConfig]) -> dict[str, PairSettings]:
    """Return the settings of every pair, by name; a configured pair replaces an *added* one of its name."""
    return {name: _settings(name, pair, config) for name, pair in {**added, **config.pairs}.items()}


def hidden(config: Config, added: Mapping[str, PairConfig]) -> dict[str, str]:
    """Return a message for each *added* pair whose name the configuration has, too, by that name."""
    return {
        name: (
            f"pair {name} was added, but the configuration defines a pair of the same name, which is used;"
            f" to drop the added one, run smtd pair remove {name}"
        )
        for name in sorted(config.pairs.keys() & added.keys())
    }


def _settings(name: str, pair: PairConfig, config: Config) -> PairSettings:
    words = Both(pair.left, pair.right)
    stores = words.map(config.stores.get)
    known = [store for store in (stores.left, stores.right) if store is not None]
    default = StoreConfig(location="")
    everything = isinstance(pair.projects, list) and pairing.ALL in pair.projects
    return PairSettings(
        name,
        words,
        stores,
        Policy(
            projects=None if pair.projects is None or everything else frozenset(pair.projects),
            mode=Mode(pair.mode),
            propagate_deletes=pair.deletes == "propagate",
            conflicts=Conflicts(pair.conflicts),
            hold_unfinished=pair.unfinished == "hold",
            limit=DeletionLimit(pair.max_deletes.count, float(pair.max_deletes.share.rstrip("%")) / 100),
            verify_within=min(seconds(store.verify_interval) for store in known or [default]),
            force_retry=False,
            stale_after=seconds(pair.stale_after),
        ),
        seconds(pair.settle),
        min(seconds(store.poll_interval) for store in known or [default]),
        seconds(pair.prove_within),
        tuple(pair.projects.items()) if isinstance(pair.projects, dict) else (),
        everything,
    )
