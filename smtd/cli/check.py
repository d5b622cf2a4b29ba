"""`smtd check`: check the configuration, try every store and pair, and see whether the server could start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from smtd import denied
from smtd.cli import check_pairs, check_report, check_server, check_stores, streams
from smtd.cli.check_report import PartFinding, Report
from smtd.cli.check_stores import DatabaseChanges
from smtd.cli.login import with_typed_login
from smtd.cli.progress_line import working_on
from smtd.cli.say import say, say_json
from smtd.cli.state import required_file, state_directory
from smtd.cli.stores import located
from smtd.config import Config, PairConfig, load
from smtd.daemon import added, settings
from smtd.daemon.settings import PairSettings
from smtd.errors import SmtdError, UsageError
from smtd.merge.sides import SIDES
from smtd.stores.location import Location


def run(chosen: Path | None, changes: DatabaseChanges, *, as_json: bool, no_input: bool) -> int:
    """Print what was found about the stores, the pairs and the server, and return the exit code."""
    if changes.install_notify and changes.remove_notify:
        raise UsageError("--install-notify and --remove-notify exclude each other; give one of them")
    file = required_file(chosen)
    config = load(file)
    pairs = [*settings.of(config, _added(config)).values()]
    names = dict.fromkeys([*config.stores, *(pair.words[side] for pair in pairs for side in SIDES)])
    locate = _locator(config, names, may_ask=not no_input)
    report = anyio.run(_report, config, file, changes, locate, pairs, names)
    if as_json:
        say_json(check_report.as_json(report))
    else:
        for line in check_report.lines(report, is_unicode=streams.has_unicode()):
            say(line)
    return max((error.exit_code for error in report.errors), default=0)


def _added(config: Config) -> Mapping[str, PairConfig]:
    """Return the pairs that were added while a daemon ran. Blocks."""
    try:
        return added.peek(state_directory(None, config) / added.FILE)
    except SmtdError:
        return {}  # the state directory has a line of its own


def _locator(config: Config, names: Iterable[str], *, may_ask: bool) -> Callable[[str], Location]:
    """Find the stores of *names*, and ask for the passwords that nothing has; return what gives the location.

    The caller of that gets the SmtdError of a store that was not found. Blocks.
    """
    known: dict[str, Location | SmtdError] = {}
    for name in names:
        try:
            location = located(name, config, None, may_be_new=True)
            known[name] = with_typed_login(location, may_ask=may_ask)
        except SmtdError as exc:
            known[name] = exc

    def locate(name: str) -> Location:
        found = known[name]
        if isinstance(found, SmtdError):
            raise found
        return found

    return locate


async def _report(
    config: Config,
    file: Path,
    changes: DatabaseChanges,
    locate: Callable[[str], Location],
    settings_of_pairs: Sequence[PairSettings],
    names: Iterable[str],
) -> Report:
    stores = {}
    for name in names:
        with working_on(name):
            stores[name] = await check_stores.check(name, config, changes, locate)
    pairs = [await to_thread.run_sync(check_pairs.prepared, one, stores) for one in settings_of_pairs]
    in_pairs = {pair.settings.words[side] for pair in pairs for side in SIDES}
    wanted = check_pairs.written(pairs)
    for name, store in stores.items():
        if name in wanted or name not in in_pairs:
            with working_on(name):
                await check_stores.try_write(store, wanted.get(name, store.projects))
            if name not in wanted and store.write_problem is not None:  # nobody asks smtd to write there
                store.warnings.append(str(store.write_problem))
                store.write_problem = None
    for pair in pairs:
        check_pairs.judge(pair)
    state = await to_thread.run_sync(_state, config)
    report = Report(str(file), [*stores.values()], pairs, state)
    if config.server is not None:
        unusable = {store.name for store in stores.values() if store.problem is not None}
        report.server = await check_server.check(config, config.server, file, unusable)
    return report


def _state(config: Config) -> PartFinding:
    """Return whether the journal can be kept in the state directory. Blocks."""
    found = PartFinding("state")
    try:
        directory = state_directory(None, config).absolute()
    except SmtdError as exc:
        found.errors.append(exc)
        return found
    found.notes.append(str(directory))
    place = next(each for each in (directory, *directory.parents) if each.exists())
    why = denied.in_directory(place) or denied.at(directory / "journal.sqlite", write=True)
    if why:
        step = "" if ";" in why else "; name another one (state_dir)"
        found.errors.append(UsageError(f"the state directory {directory} cannot be used: {why}{step}"))
    return found
