"""Cut two daemons off from their server while people work on all sides; heal it, and look for every word."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import aiohttp
import anyio
from anyio import to_thread
from yarl import URL

from campaigns.campaign import Tally
from campaigns.comparing import differing, held
from campaigns.partition.cable import Cable, cable_to
from campaigns.partition.people import AtServer, Diary, Laptop, Person, Side
from smtd.records.record import Key, Record
from smtd.stores.access import Access
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, record
from tests.daemon.process import DaemonProcess, daemon_process
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD, Client
from tests.stores.places import DjangoPlace
from tests.stories.words import words

SEED = 20261202
#: Changes on each of the three sides, and records of each side that only this side edits.
CHANGES, MINE = 1000, 150
#: Changes of a side for one record that all edit.
PER_SHARED = 20
#: Seconds: people work before the cut; a daemon may wait before it tries again (schedule.LONGEST_PAUSE); and
#: it may take to exchange what was changed.
BEFORE, RETRY, EXCHANGE = 0.3, 330.0, 60.0
#: Seconds between two looks at whether all is in sync.
LOOK = 0.5


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Cut a server off for *count* seconds, in which people change CHANGES records on each side."""
    return run_with(directory, count, CHANGES, progress)


def run_with(directory: Path, seconds: float, changes: int, progress: Callable[[str], None]) -> Tally:
    """Cut a server off for *seconds*, during which users make *changes* changes on each side."""
    tally = Tally("seconds")
    with ExitStack() as stack:
        server = stack.enter_context(server_process(directory / "server"))
        anyio.run(partial(_play, directory, server, seconds, changes, tally, progress))
    return tally


async def _play(
    directory: Path,
    server: ServerProcess,
    seconds: float,
    changes: int,
    tally: Tally,
    progress: Callable[[str], None],
) -> None:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        login = {"Authorization": aiohttp.encode_basic_auth("ada", PASSWORD)}
        ada = Client(server.root, session, login)
        await ada.make()
        mirrors = []
        for name, refuses in (("laptop a", False), ("laptop b", True)):
            entered = stack.enter_async_context(
                _mirror(directory / name.replace(" ", "-"), name, server, refuses)
            )
            mirrors.append(await entered)
        partition = Partition(server, ada, mirrors, tally)
        await partition.prepare(changes // PER_SHARED)
        await partition.cut_off(seconds, changes)
        progress(f"cut off for {seconds:.0f} s, {partition.diary.counts.total():,} changes")
        await partition.heal(RETRY + EXCHANGE)
        await partition.judge()
        tally.count = round(seconds)


class Mirror:
    """A laptop, called *name*: its store, and a real daemon that mirrors it over *cable*."""

    def __init__(self, name: str, place: DjangoPlace, daemon: DaemonProcess, cable: Cable) -> None:
        self.name = name
        self.place = place
        self.daemon = daemon
        self.cable = cable

    async def listed(self) -> set[Key]:
        """Return the records that the daemon lists as not in sync."""
        found = set()
        for verb in ("conflicts", "holds"):
            answer = await to_thread.run_sync(self.daemon.ctl, verb, "--json")
            found |= {Key(each["project"], each["label"]) for each in answer.json[verb]}
        return found

    async def held(self) -> dict[Key, Record]:
        async with self.place.open() as store:
            return await held(store)


@asynccontextmanager
async def _mirror(directory: Path, name: str, server: ServerProcess, refuses: bool) -> AsyncIterator[Mirror]:
    """Start a daemon that mirrors a new store in *directory*, with a journal and a cable of its own."""
    await anyio.Path(directory).mkdir()
    place = DjangoPlace(directory / "store.sqlite")
    port = URL(server.root).port
    assert port is not None
    async with cable_to(port, refuses=refuses) as cable:
        address = f"http://ada:{PASSWORD}@127.0.0.1:{cable.port}/records/"
        text = "\n".join(
            [
                *("[stores.laptop]", f"location = {json.dumps(str(place.path))}"),
                *("[stores.lab]", f"location = {json.dumps(address)}"),
                *("[pairs.pair]", 'left = "laptop"', 'right = "lab"', f'projects = ["{PROJECT}"]', ""),
            ]
        )
        with daemon_process(directory, text, start=False) as daemon:
            daemon.config.chmod(0o600)  # it has a password
            yield Mirror(name, place, daemon, cable)


class Partition:
    """A *server* whose *mirrors* are cut off from it."""

    def __init__(self, server: ServerProcess, ada: Client, mirrors: list[Mirror], tally: Tally) -> None:
        self._ada = ada
        self._mirrors = mirrors
        self._tally = tally
        self.diary = Diary()
        access = Access(username="ada", password=PASSWORD)
        self._location = Location(HTTP, Path(), None, access, f"{server.root}records/")

    async def prepare(self, shared: int) -> None:
        """Give all sides the same records, *shared* of which all edit."""
        self._names = [*(mirror.name for mirror in self._mirrors), "server"]
        self._mine = {name: [f"{name[-1]}-{number}" for number in range(MINE)] for name in self._names}
        self._ours = [f"ours-{number}" for number in range(shared)]
        labels = [*self._ours, *(label for mine in self._mine.values() for label in mine)]
        made = [record(label, reason=self.diary.new_word("all")) for label in labels]
        self.diary.made |= dict.fromkeys(labels, "all")
        await self._mirrors[0].place.put(*made)
        for mirror in self._mirrors:
            await to_thread.run_sync(mirror.daemon.start)
            await to_thread.run_sync(mirror.daemon.sync)

    async def cut_off(self, seconds: float, changes: int) -> None:
        """Let people work on all sides, cut off from each other for *seconds*, or until all is done."""
        sides: list[Side] = [*(Laptop(mirror.place) for mirror in self._mirrors), AtServer(self._ada)]
        async with anyio.create_task_group() as group:
            for number, (name, side) in enumerate(zip(self._names, sides, strict=True)):
                chance = Random(SEED + number)
                person = Person(name, side, self.diary, chance, self._mine[name], list(self._ours))
                group.start_soon(person.work, changes, seconds)
            await anyio.sleep(BEFORE)
            for mirror in self._mirrors:
                mirror.cable.cut()
        self._tally.counts.update(self.diary.counts)

    async def heal(self, within: float) -> None:
        """Mend the cables, and wait until all sides have the same, but for what is listed."""
        began = anyio.current_time()
        for mirror in self._mirrors:
            mirror.cable.heal()
        differ = await self._differing()
        with anyio.move_on_after(within):
            while differ:
                await anyio.sleep(LOOK)
                differ = await self._differing()
        self._tally.differences += differ
        self._tally.notes.append(f"in sync again after {anyio.current_time() - began:.0f} s")

    async def _differing(self) -> list[str]:
        """Return which records differ between the server and a laptop that does not list them."""
        there, found = await self._at_server(), []
        for mirror in self._mirrors:
            if differ := differing(await mirror.held(), there):
                found += [f"{mirror.name} differs in {key.label}" for key in differ - await mirror.listed()]
        return found

    async def _at_server(self) -> dict[Key, Record]:
        async with open_store(self._location) as store:
            return await held(store)

    async def judge(self) -> None:
        """Look for every word and every record, and let each daemon sync once more: it must write nothing."""
        stores = {"server": await self._at_server()}
        listed = set[Key]()
        for mirror in self._mirrors:
            stores[mirror.name] = await mirror.held()
            listed |= await mirror.listed()
        self._tally.counts["records left to a person"] += len(listed)
        there = {key.label for each in stores.values() for key in each}
        found = words(each for records in stores.values() for each in records.values())
        self._tally.losses += [
            f"{word} of {self.diary.written[word]}"
            for word in sorted(self.diary.written.keys() - self.diary.removed - found)
        ]
        kept = {key.label for key in listed}
        self._tally.doubles += sorted(there - self.diary.made.keys())
        self._tally.differences += [
            f"{label} was deleted, and is there"
            for label in self.diary.must_be_gone()
            if label in there - kept
        ]
        for mirror in self._mirrors:
            pair = await to_thread.run_sync(mirror.daemon.sync)
            wrote = sum(
                pair[side][what] for side in ("left", "right") for what in ("created", "updated", "deleted")
            )
            if wrote or pair["failed"]:
                self._tally.differences.append(f"{mirror.name} is not at rest: {pair}")
