"""The daemon: one long-lived task group that owns every pair's worker, the watch and the socket."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from smtd.config import Config, PairConfig, seconds, size
from smtd.control.audience import readers_named
from smtd.control.server import ControlSocket, Handler
from smtd.daemon import added, settings
from smtd.daemon.events import Events
from smtd.daemon.figures import Figures
from smtd.daemon.notices import Notices
from smtd.daemon.own_server import OwnServer, WantedServer
from smtd.daemon.pair_records import PairAccess
from smtd.daemon.scrubber import Scrubber
from smtd.daemon.settings import PairSettings
from smtd.daemon.worker import Worker
from smtd.errors import JournalError, SmtdError, UsageError
from smtd.journal.journal import Journal
from smtd.journal.remembered import Remembered
from smtd.merge.sides import Both
from smtd.output.counts import plural
from smtd.spelling import did_you_mean
from smtd.stores.location import Location
from smtd.systemd import Notifier
from smtd.text import encodable
from smtd.watch import Watch

log = logging.getLogger("smtd")

#: Seconds between two self-checks of the daemon, and without progress after which a worker counts as stuck:
#: a cycle may wait for a slow server, and reports progress only between batches.
BEAT, STUCK = 5.0, 900.0
#: Threads for everything but the pairs, and for each pair, so that threads that wait for a lock block no
#: other pair.
THREADS, THREADS_OF_PAIR = 40, 4
#: Seconds to wait for a worker to end: a lock of another program may delay it for longer.
SHUTDOWN_GRACE = 2.0
#: Seconds between two checks of the history's age and size.
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the daemon is started with.

    *refused* is called when a store rejects smtd, because its password may have changed. *load* reads the
    configuration, and *locate* finds the store with a name or path; both block, and raise SmtdError.
    *watchdog* is the timeout of systemd's watchdog in seconds (None: no watchdog). *ending* is called when
    the shutdown begins. *proxy_for* returns the proxy for an address (None: no proxy). *server* returns the
    server to run (None: none); it blocks, and raises SmtdError. Without *keeps_pairs* the daemon only serves.
    *apply* is called with each configuration that takes effect, and *started* with the pairs when all runs.
    """

    state: Path
    socket: Path
    load: Callable[[], Config]
    locate: Callable[[str, Config], Location]
    refused: Callable[[], None]
    notifier: Notifier
    watchdog: float | None = None
    ending: Callable[[], None] = lambda: None
    proxy_for: Callable[[str], str | None] = lambda url: None
    server: Callable[[Config], WantedServer | None] = lambda config: None
    keeps_pairs: bool = True
    apply: Callable[[Config], None] = lambda config: None
    started: Callable[[Sequence[PairSettings]], None] = lambda pairs: None


@dataclass(eq=False, slots=True)
class _Supervised:
    worker: Worker
    scrubber: Scrubber
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


class Daemon:
    """Keeps all pairs in sync until it is stopped; see `serve`."""

    def __init__(self, dependencies: Dependencies, journal: Journal, group: TaskGroup) -> None:
        self.events = Events(journal.events)
        self.figures = Figures(journal)
        self.began = anyio.current_time()
        self._dependencies = dependencies
        self.journal = journal
        self._group = group
        self._watch = Watch()
        self._notices = Notices(dependencies.state, dependencies.proxy_for)
        self._stopped = anyio.Event()
        self._hangup = anyio.Event()
        self._changing = anyio.Lock()
        self._config = Config()
        self._added: dict[str, PairConfig] = {}
        self._pairs: dict[str, _Supervised] = {}
        self._scrubbing = anyio.Lock()
        self._server = OwnServer(dependencies.server, self.events, group)
        self._first_cycles = anyio.Lock()
        self._control = ControlSocket(dependencies.socket)
        #: Whether this is `smtd serve`, which syncs no pairs.
        self.only_serves = not dependencies.keeps_pairs

    @property
    def workers(self) -> list[Worker]:
        """The workers of all pairs, by name."""
        return [self._pairs[name].worker for name in sorted(self._pairs)]

    async def start(self, task: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        """Start *task*, which the daemon ends when it stops; return what it reports once it has started."""
        return await self._group.start(task)

    def scrubber(self, name: str) -> Scrubber:
        """Return the scrubber of the pair *name*."""
        return self._pairs[name].scrubber

    @property
    def state(self) -> Path:
        """The state directory, as an absolute path."""
        return self._dependencies.state

    @property
    def added(self) -> Mapping[str, PairConfig]:
        """The pairs that were added while running, and are in use."""
        return {name: pair for name, pair in self._added.items() if name not in self._config.pairs}

    async def remembered(self) -> list[tuple[Remembered, bool]]:
        """Return what the journal remembers of each pair, and whether the daemon syncs that pair."""
        return [(each, self._is_synced(each.stores, each.name)) for each in await self.journal.remembered()]

    async def forget(self, stores: Both[str]) -> None:
        """Forget the pair of *stores*. Raises UsageError if the daemon syncs it; see `Journal.forget`."""
        async with self._changing:  # nobody adds the pair meanwhile
            if self._is_synced(stores, None):
                raise UsageError("the daemon syncs this pair; remove it before smtd forgets it")
            await self.journal.forget(stores)

    def _is_synced(self, stores: Both[str], name: str | None) -> bool:
        """Say whether a worker has the two *stores*, or has not found its own yet and is called *name*."""
        ways = ((stores.left, stores.right), (stores.right, stores.left))
        return any(
            worker.session.identities in ways or (not worker.session.identities and worker.name == name)
            for worker in self.workers
        )

    def pair_access(self) -> PairAccess:
        """Return how pages get at the records of the pairs."""
        return PairAccess(lambda: self.workers, self.journal, self.state / "pages")

    async def serve(self, handler: Handler) -> None:
        """Start everything, report readiness, and run until `stop`; *handler* answers the control socket."""
        notifier = self._dependencies.notifier
        await self._group.start(self._handle_signals)
        config = await to_thread.run_sync(self._dependencies.load)
        problem = ""
        if self._dependencies.keeps_pairs:
            self._added, problem = await to_thread.run_sync(added.read, self._file)
        if problem:
            log.warning("%s", problem)
            self.events.add("pairs damaged", problem=encodable(problem))
        await self._control.admit(await to_thread.run_sync(readers_named, config.daemon.control_group))
        self._use(config)
        await self._group.start(self._notices.run)
        await self._server.follow(self._config)
        await self._reconcile(settings.of(self._config, self._added))
        self._group.start_soon(self._watch.run)
        self._group.start_soon(self.events.run)
        self._group.start_soon(self.figures.run)
        self._group.start_soon(self._handle_hangups)
        self._group.start_soon(self._prune_history)
        async with self._control.serving(handler, self._group):
            self.events.add("started", pairs=len(self._pairs))
            notifier.ready()
            self._dependencies.started([worker.settings for worker in self.workers])
            self._group.start_soon(self._beat)
            await self._stopped.wait()
            notifier.stopping()
        self.events.add("stopped")
        try:
            await self.events.save()
            await self.figures.save()
        except JournalError as exc:
            log.error("the last events are not saved: %s", exc)
        log.info("stopped")

    def stop(self) -> None:
        """Shut down; the next start finishes the writes of an interrupted cycle."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._dependencies.ending()

    async def reload(self) -> dict[str, list[str]]:
        """Read the configuration again, and return which pairs were added, removed and changed.

        Unchanged pairs are not disturbed. Raises ConfigError if the configuration has mistakes, and SmtdError
        if the server cannot start with it. The previous configuration then stays in use; a server that was
        stopped for the new one is started again.
        """
        async with self._changing:
            notifier = self._dependencies.notifier
            notifier.reloading()
            try:
                config = await to_thread.run_sync(self._dependencies.load)
                wanted = settings.of(config, self._added)
                readers = await to_thread.run_sync(readers_named, config.daemon.control_group)
                await self._server.follow(config)  # first: what comes after it cannot fail
                await self._control.admit(readers)
                self._use(config)
                done = await self._reconcile(wanted)
            finally:
                notifier.ready()
        self.events.add("reloaded", **done)
        changes = "; ".join(f"{what} {', '.join(names)}" for what, names in done.items() if names)
        log.info("configuration reloaded: %s", changes or "no pair has changed")
        return done

    def _use(self, config: Config) -> None:
        """Let *config* take effect, except for the pairs and the server."""
        self._config = config
        self._dependencies.apply(config)
        self._report_hidden()
        self._notices.follow(config.notify)

    async def add(self, name: str, pair: PairConfig) -> None:
        """Add a pair, and save it in the state directory. Raises UsageError if it cannot be added."""
        if self.only_serves:
            raise UsageError("this smtd only serves a store; smtd run with [server] syncs pairs, too")
        self._refuse_known(name)
        for word in (pair.left, pair.right):
            if "://" not in word and word not in self._config.stores and not Path(word).is_absolute():
                hint = did_you_mean(word, self._config.stores, "name a configured store, or give a full path")
                raise UsageError(f"there is no store {word}{hint}")
        one = settings.of(self._config, {name: pair})[name]
        await to_thread.run_sync(self._located, one, self._config)  # may take a while: not under the lock
        async with self._changing:
            self._refuse_known(name)
            found = {**self._added, name: pair}
            wanted = settings.of(self._config, found)
            await self._remember(found)
            await self._reconcile(wanted)

    def _refuse_known(self, name: str) -> None:
        if name in self._pairs:
            raise UsageError(f"pair {name} exists already; choose another name, or remove that pair first")

    async def remove(self, name: str) -> None:
        """Remove a pair that was added. Raises UsageError for any other."""
        async with self._changing:
            if name not in self._added:
                if name in self._pairs:
                    raise UsageError(
                        f"pair {name} is in the configuration; remove it there and run smtd reload"
                    )
                raise self.no_pair(name)
            await self._remember({key: pair for key, pair in self._added.items() if key != name})
            await self._reconcile(settings.of(self._config, self._added))

    def no_pair(self, name: str) -> UsageError:
        """Return the error that there is no pair *name*."""
        hint = did_you_mean(name, sorted(self._pairs), "smtd pair list shows the pairs")
        return UsageError(f"there is no pair {name}{hint}")

    def _report_hidden(self) -> None:
        """Report the added pairs that are not used because configured pairs have their names."""
        for name, problem in settings.hidden(self._config, self._added).items():
            log.warning("%s", problem)
            self.events.add("pair hidden", pair=name, problem=problem)

    async def _reconcile(self, wanted: Mapping[str, PairSettings]) -> dict[str, list[str]]:
        """Start, stop and replace workers, so that each of *wanted* has one; return what changed, by name."""
        running = {name: pair.worker.settings for name, pair in self._pairs.items()}
        ended = [name for name in running if wanted.get(name) != running[name]]
        ending = [self._pairs.pop(name) for name in ended]  # no request may reach them any more
        for pair in ending:
            pair.scope.cancel()
        with anyio.move_on_after(SHUTDOWN_GRACE, shield=True):  # shielded: the caller may be cancelled
            for pair in ending:
                await pair.ended.wait()
        await self._notices.keep(wanted)
        to_thread.current_default_thread_limiter().total_tokens = THREADS + THREADS_OF_PAIR * len(wanted)
        for name, one in wanted.items():
            if name not in self._pairs:
                locate = partial(self._located, one, self._config)
                hooks = (self._dependencies.refused, self._notices.note, self._first_cycles)
                worker = Worker(
                    *(one, locate, self.journal, self._watch, self.events),
                    *(*hooks, self.figures.count),
                )
                pair = _Supervised(worker, Scrubber(worker, self.journal, self.events, self._scrubbing))
                self._pairs[name] = pair
                self._group.start_soon(self._supervise, pair)
        return {
            "added": sorted(wanted.keys() - running.keys()),
            "removed": sorted(running.keys() - wanted.keys()),
            "changed": sorted(wanted.keys() & set(ended)),
        }

    async def _supervise(self, pair: _Supervised) -> None:
        try:
            with pair.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(pair.worker.run)
                    group.start_soon(pair.scrubber.run)
        finally:
            pair.ended.set()

    def _located(self, one: PairSettings, config: Config) -> Both[Location]:
        locations = one.words.map(lambda word: self._dependencies.locate(word, config))
        left, right = locations.left, locations.right
        if left.identity == right.identity or left.shares_file(right):
            raise UsageError(f"pair {one.name}: {locations.left} is on both sides; name two different stores")
        return Both(left, replace(right, renames=one.renames) if one.renames else right)

    @property
    def _file(self) -> Path:
        return self._dependencies.state / added.FILE

    async def _remember(self, pairs: dict[str, PairConfig]) -> None:
        await to_thread.run_sync(added.write, self._file, pairs)
        self._added = pairs

    async def _handle_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    self._hangup.set()
                else:
                    self.stop()

    async def _handle_hangups(self) -> None:
        """Reload on SIGHUP; several signals during a reload cause one more."""
        while True:
            await self._hangup.wait()
            self._hangup = anyio.Event()
            try:
                await self.reload()
            except SmtdError as exc:
                log.error("the previous configuration stays in use: %s", exc)
                self.events.add("not reloaded", problem=encodable(str(exc)))

    async def _prune_history(self) -> None:
        """Prune the history to the configured age and size, now and once a day."""
        while True:
            limits = self._config.daemon
            try:
                age = timedelta(seconds=seconds(limits.history_age))
                if gone := await self.journal.history.prune(age, size(limits.history_size)):
                    log.info("history entries removed because of their age or size: %d", gone)
            except JournalError as exc:
                log.error("the history cannot be shortened: %s", exc)
            await anyio.sleep(DAY)

    async def _beat(self) -> None:
        """Report the state of the pairs to systemd, and feed its watchdog unless a worker is stuck."""
        notifier, watchdog = self._dependencies.notifier, self._dependencies.watchdog
        while True:
            notifier.status(_summary(self.workers))
            now = anyio.current_time()
            stuck = [one.name for one in self.workers if one.running and now - one.last_progress > STUCK]
            if stuck:
                log.warning("pair %s has made no progress for a long time", ", ".join(stuck))
            elif watchdog is not None:
                notifier.alive()
            await anyio.sleep(BEAT if watchdog is None else min(BEAT, watchdog / 2))


def _summary(workers: Collection[Worker]) -> str:
    counts: dict[str, int] = {}
    for worker in workers:
        counts[worker.status.state] = counts.get(worker.status.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"{plural(len(workers), 'pair')}: {states}" if workers else "no pairs"
