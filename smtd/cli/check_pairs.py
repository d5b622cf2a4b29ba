"""`smtd check` for pairs: could each sync, given what was found about its stores? Only `prepared` blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from smtd.cli.check_stores import StoreFinding
from smtd.daemon import settings
from smtd.daemon.settings import PairSettings
from smtd.errors import SmtdError, StoreRefused, UsageError
from smtd.merge.sides import SIDES, Both, Side
from smtd.spelling import did_you_mean


@dataclass(slots=True)
class PairFinding:
    """What was found about the pair of *settings* and its *stores*.

    *projects*: those that it syncs, by their names on the left (None: all).
    """

    settings: PairSettings
    stores: Both[StoreFinding]
    projects: Collection[str] | None = None
    errors: list[SmtdError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the pair."""
        return self.settings.name


def prepared(one: PairSettings, stores: Mapping[str, StoreFinding]) -> PairFinding:
    """Return which projects the pair syncs, and whether its stores make a pair. Blocks."""
    found = PairFinding(one, one.words.map(lambda word: stores[word]))
    left, right = found.stores.left.location, found.stores.right.location
    if left is None or right is None:
        return found  # the error is that of the store
    if left.identity == right.identity or left.shares_file(right):
        found.errors.append(UsageError(f"{left} is on both sides; name two different stores"))
        return found
    try:
        found.projects = one.scoped(Both(left, right)).projects
    except UsageError as exc:
        found.errors.append(exc)
        return found
    held = {*found.stores.left.projects, *found.stores.right.projects}
    if found.projects is not None and not one.names_projects and held - {*found.projects}:
        found.warnings.append(settings.narrowed(one.name, *found.projects))
    return found


def written(pairs: Collection[PairFinding]) -> dict[str, set[str]]:
    """Return for each store that a pair would write to the names of the projects there."""
    wanted: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.errors:
            continue
        for side in pair.settings.policy.mode.targets:
            wanted.setdefault(pair.settings.words[side], set()).update(_projects(pair, side))
    return wanted


def _projects(pair: PairFinding, side: Side) -> Collection[str]:
    """Return the projects of *pair* by their names on *side*."""
    if renames := pair.settings.renames:
        return [Both(*names)[side] for names in renames]
    if pair.projects is not None:
        return pair.projects
    return {*pair.stores.left.projects, *pair.stores.right.projects}


def judge(pair: PairFinding) -> None:
    """Add to *pair* what keeps it from syncing, when its stores have been read and tried."""
    targets = pair.settings.policy.mode.targets
    for side in SIDES:
        store = pair.stores[side]
        if store.problem is not None:
            pair.errors.append(_because(store.problem, f"its {side.value} store {store.name} cannot be used"))
        elif side in targets and store.write_problem is not None:
            what = f"its {side.value} store {store.name} cannot be written"
            pair.errors.append(_because(store.write_problem, what))
    if pair.errors:
        return
    pair.errors += _without_target(pair, targets)
    pair.errors += _missing_projects(pair)


def _because(cause: SmtdError, what: str) -> SmtdError:
    error = SmtdError(f"{what}; see there")
    error.exit_code = cause.exit_code
    return error


def _without_target(pair: PairFinding, targets: Collection[Side]) -> Iterator[SmtdError]:
    """Yield an error if nothing can be written; note it if that is so on one side of a two-way pair."""
    refusing = [side for side in SIDES if side in targets and pair.stores[side].read_only]
    for side in refusing if len(refusing) < len(targets) else []:
        pair.warnings.append(
            f"changes go to the {side.other.value} only: the {side.value} store is read-only"
        )
    if len(refusing) == len(targets):
        why = "; ".join(f"{pair.stores[side].name}: {pair.stores[side].read_only}" for side in refusing)
        yield StoreRefused(f"nothing can be written ({why}); change mode, or name another store")


def _missing_projects(pair: PairFinding) -> Iterator[SmtdError]:
    """Yield an error for each project that neither store has, with the likely one."""
    left, right = pair.stores.left.projects, pair.stores.right.projects
    names = pair.settings.renames or tuple((one, one) for one in sorted(pair.projects or ()))
    for here, there in names:
        if here in left or there in right:
            continue
        hint = did_you_mean(here, {*left, *right}, "smtd list shows what a store has")
        yield SmtdError(f"neither store has a project {here!r}{hint}")
