"""Real Sumatra 0.8.1 at a server, and a laptop with a daemon, edit the same record at the same time.

What may be lost is what Sumatra's requests cannot keep. `smt comment` and `smt tag` send the ETag that they
have read (httplib2 adds it), so they overwrite nothing that they have not seen: the server refuses (412).

- `smt delete` sends no ETag: it deletes a record however it has changed. The words are in the history of each
  daemon that deletes its copy for it; `smtd-ctl undo` and `resolve` bring them back. A word that had not come
  to the server yet is kept: the edit wins.
- `smt run` does not read the record that it saves, and sends no ETag: until the run is over, each save
  replaces the record. A word that another program writes to it before is gone from the server with the next
  save; only who follows the feed has had it. smtd waits for the end of the run (`unfinished = "hold"`). If it
  is told not to (`"mirror"`), it merges its own edits in again, once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from campaigns.comparing import differing, held
from campaigns.partition.people import AtServer, Laptop, Side
from smtd.records.record import Key, Record
from smtd.stores.access import Access
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import FINISHED, PROJECT, RUNNING, change, commented, key, record, tagged
from tests.daemon.process import DaemonProcess, daemon_process
from tests.peers.environments import Environment, PeerFailed
from tests.server.process import ServerProcess, server_process
from tests.server.remote_project import RemoteProject
from tests.server.served import PASSWORD, client_of
from tests.server.streams import streaming
from tests.stores.places import DjangoPlace

#: Seconds within which a change must have come to the other side.
PATIENCE = 60.0
#: How often `smt` must have been refused, and must have edited, before the race is over.
REFUSALS, EDITS = 1, 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a store of its own."""
    with server_process(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def project(
    server: ServerProcess, django_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> RemoteProject:
    """A project whose store is the server."""
    made = RemoteProject(tmp_path_factory.mktemp("person") / "project", django_environment)
    made.begin(server.address, PROJECT)
    return made


@dataclass
class Pair:
    """A laptop with the store *place*, mirrored by *daemon* to *server*."""

    place: DjangoPlace
    daemon: DaemonProcess
    server: ServerProcess

    async def here(self) -> dict[Key, Record]:
        async with self.place.open() as store:
            return await held(store)

    async def there(self) -> dict[Key, Record]:
        access = Access(username="ada", password=PASSWORD)
        location = Location(HTTP, Path(), None, access, f"{self.server.root}records/")
        async with open_store(location) as store:
            return await held(store)

    async def until(self, is_so: Callable[[dict[Key, Record], dict[Key, Record]], bool]) -> None:
        """Wait until something is so of what the laptop and the server hold."""
        with anyio.fail_after(PATIENCE):
            while not is_so(await self.here(), await self.there()):  # noqa: ASYNC110 - there is no event
                await anyio.sleep(0.02)

    async def same(self) -> dict[Key, Record]:
        """Wait until the laptop and the server hold the same, and return that."""
        await self.until(lambda here, there: not differing(here, there))
        return await self.here()

    async def ctl(self, *words: str) -> Any:
        """Return what `smtd-ctl` prints."""
        answer = await to_thread.run_sync(lambda: self.daemon.ctl(*words, "--json"))
        return answer.json


@asynccontextmanager
async def mirroring(directory: Path, server: ServerProcess, unfinished: str = "hold") -> AsyncIterator[Pair]:
    """Run the daemon of a new laptop that has what the server has."""
    place = DjangoPlace(directory / "laptop.sqlite")
    text = "\n".join(
        [
            *("[stores.laptop]", f"location = {json.dumps(str(place.path))}"),
            *("[stores.lab]", f"location = {json.dumps(server.address)}"),
            *("[pairs.pair]", 'left = "laptop"', 'right = "lab"', f'projects = ["{PROJECT}"]'),
            *(f'unfinished = "{unfinished}"', ""),
        ]
    )
    with daemon_process(directory, text, start=False) as daemon:
        daemon.config.chmod(0o600)  # it has a password
        await to_thread.run_sync(daemon.start)
        await to_thread.run_sync(daemon.sync)
        yield Pair(place, daemon, server)


async def edited(side: Side, label: str, edit: Callable[[Record, str], Record], word: str) -> None:
    """Edit a record at *side*, to which others may write at the same time."""
    while (before := await side.read(label)) and not await side.write(label, before, edit(before, word)):
        pass


async def run(project: RemoteProject, label: str) -> None:
    """Let `smt` run once."""
    await to_thread.run_sync(lambda: project.run("default.param", label=label))


async def test_smt_and_a_laptop_edit_the_same_record(
    server: ServerProcess, project: RemoteProject, tmp_path: Path
) -> None:
    """And a program at the server, too: no word is lost, or doubled; `smt` is refused where it must be."""
    await run(project, "one")
    written, is_over = list[str](), False

    def smt() -> None:
        nonlocal is_over
        refused = number = 0
        try:
            while number < EDITS or refused < REFUSALS:
                word = f"smt{number}x"
                arguments = ("tag", word, "one") if number % 2 else ("comment", "one", word)
                refused += insisted(project, *arguments)
                written.append(word)
                number += 1
        finally:
            is_over = True

    async with mirroring(tmp_path, server) as pair:
        async with client_of(server.root) as ada, anyio.create_task_group() as group:
            group.start_soon(to_thread.run_sync, smt)
            sides: dict[str, Side] = {"laptop": Laptop(pair.place), "api": AtServer(ada)}
            while not is_over:
                for number, (name, side) in enumerate(sides.items()):
                    word = f"{name}{len(written)}x"
                    await edited(side, "one", tagged if (len(written) + number) % 3 else commented, word)
                    written.append(word)
                await anyio.sleep(0.1)
        one = (await pair.same())[key("one")]

        assert await pair.ctl("conflicts") == {"conflicts": []}
        assert await pair.ctl("holds") == {"holds": []}
    lines = (one.outcome or "").splitlines()
    assert sorted(set(written) - {*lines, *one.tags}) == []
    assert len(lines) == len(set(lines))


def insisted(project: RemoteProject, *arguments: str) -> int:
    """Run `smt` until it is not refused; return how often it was."""
    refused = 0
    while True:
        try:
            project.smt(*arguments)
        except PeerFailed as exc:
            if "412" not in str(exc):
                raise
            refused += 1
        else:
            return refused


@pytest.mark.slow
async def test_deletion_by_smt_of_what_it_has_not_seen(
    server: ServerProcess, project: RemoteProject, tmp_path: Path
) -> None:
    """A word that had come to the server goes, and can be brought back; one that had not keeps the record."""
    await run(project, "seen")
    await run(project, "unseen")
    async with mirroring(tmp_path, server) as pair:
        await edited(Laptop(pair.place), "seen", commented, "carried")
        await pair.until(lambda _, there: there[key("seen")].outcome == "carried")
        await to_thread.run_sync(project.delete, "seen")
        await pair.until(lambda here, _: key("seen") not in here)
        await to_thread.run_sync(pair.daemon.ctl, "pause", "pair")
        await edited(Laptop(pair.place), "unseen", commented, "not carried")
        await to_thread.run_sync(project.delete, "unseen")
        assert key("unseen") not in await pair.there()
        await to_thread.run_sync(pair.daemon.ctl, "resume", "pair")

        held = await pair.same()

        assert key("seen") not in held
        assert held[key("unseen")].outcome == "not carried"
        (deletion,) = [
            each for each in (await pair.ctl("history", "pair"))["history"] if each["action"] == "delete"
        ]
        await pair.ctl("undo", str(deletion["cycle"]))
        await pair.ctl("sync", "now")
        (hold,) = (await pair.ctl("holds"))["holds"]
        assert (hold["label"], hold["kind"]) == ("seen", "undone")
        await pair.ctl("resolve", "pair", PROJECT, "seen", "--take", "left")
        assert (await pair.same())[key("seen")].outcome == "carried"


@pytest.mark.slow
async def test_edits_of_a_record_that_smt_still_saves(
    server: ServerProcess, project: RemoteProject, tmp_path: Path
) -> None:
    """The next save takes the word of another program away, which the feed had; smtd waits for the end."""
    async with mirroring(tmp_path, server) as pair, client_of(server.root) as ada:
        client = AtServer(ada)
        with project.running("default.param", label="running") as finish:
            await pair.until(lambda _, there: key("running") in there)
            async with streaming(ada, "since=now&include=records") as stream:
                before = await client.read("running")
                assert before is not None
                assert await client.write("running", before, commented(before, "too early"))
                (event,) = await stream.changes(1)
            assert key("running") not in await pair.here()
            await to_thread.run_sync(finish)

        one = (await pair.same())[key("running")]

    assert event["record"]["outcome"] == "too early"
    assert one.tags == {"_finished_"}
    assert not one.outcome


async def test_edits_of_a_laptop_that_mirrors_unfinished_runs(server: ServerProcess, tmp_path: Path) -> None:
    """smtd merges them into each save of the run, which has not seen them, as `smt run` reads nothing."""
    running = record("mirrored", tags=RUNNING, duration=None, stdout_stderr="Not yet captured.")
    saves = [change(running, user="ada"), change(running, user="ada", duration=3.0, tags=FINISHED)]
    async with mirroring(tmp_path, server, unfinished="mirror") as pair, client_of(server.root) as ada:
        await ada.make()
        await ada.put(running)
        await pair.until(lambda here, _: key("mirrored") in here)
        await edited(Laptop(pair.place), "mirrored", commented, "while it runs")
        await pair.until(lambda _, there: there[key("mirrored")].outcome == "while it runs")
        for saved in saves:
            await ada.put(saved)
            await pair.same()
            await pair.ctl("sync", "now")
        one = (await pair.same())[key("mirrored")]

    assert one.tags == {"_finished_"}
    assert one.outcome == "while it runs"
