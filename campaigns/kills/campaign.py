"""Kill cycles, fail the machine under them, and look again and again whether all is there, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from campaigns.campaign import Tally
from campaigns.kills import disk as disks
from campaigns.kills import smt
from campaigns.kills.arena import EXPECTED, POLICY, Arena
from campaigns.kills.mishap import STEPS, WELL, chosen
from campaigns.kills.wire import Wire, wire
from smtd.merge.sides import Both
from tests.build import PROJECT
from tests.peers.environments import environment
from tests.peers.project import SumatraProject
from tests.peers.server import SumatraServer, serving
from tests.servers.place import place_of
from tests.servers.postgresql import postgresql
from tests.servers.server import DatabaseServer
from tests.stores.places import DjangoPlace, dumb_place
from tests.stores.server_place import ServerPlace
from tests.stories.scene import Scene

#: After so many cycles all is brought to rest and looked at.
CHECK = 20
ANYWHERE = ["none", "kill at a step", "kill at a step", "kill at a moment", "kill at a moment", "clock jump"]
ON_FILES = [*ANYWHERE, "kill at a file", "kill at a file", "short write"]
SEED = 20261125
#: Makes an arena in a directory, and ends it.
Making: TypeAlias = Callable[[Path], AbstractContextManager[Arena]]


def run(
    directory: Path, count: int, progress: Callable[[str], None], makings: Sequence[Making] = ()
) -> Tally:
    """Run *count* cycles that something befalls, on pairs of four kinds, or on those of *makings*."""
    tally = Tally("cycles")
    chance = Random(SEED)
    with ExitStack() as stack:
        chosen_makings = makings or ARENAS
        arenas = [stack.enter_context(make(directory / make.__name__)) for make in chosen_makings]
        for number, arena in enumerate(arenas):
            stack.enter_context(smt.at_work(arena.project, SEED + number))
        # Each step of a cycle in turn, in every arena.
        turns = {arena.name: cycle(STEPS) for arena in arenas}
        # Where only files are involved more can go wrong, and sooner.
        weights = [2 if make in ON_FILES_ONLY else 1 for make in chosen_makings]
        for number in range(1, count + 1):
            (arena,) = chance.choices(arenas, weights)
            _befall(arena, chance, turns[arena.name], tally)
            if number % CHECK == 0:
                arena.check(tally, f"{number} cycles")
                progress(f"{number:,} of {count:,} cycles, {tally.wrong_so_far()}")
        for arena in arenas:
            arena.check(tally, "the last cycle")
    commands = sum((arena.ran for arena in arenas), start=Counter[str]())
    done = ", ".join(f"{count:,} {what}" for what, count in sorted(commands.items()))
    records = sum(len(arena.given) for arena in arenas)
    waited = sum(len(arena.waited) for arena in arenas)
    tally.notes += [
        f"{records:,} records, {waited:,} of them left to a person for a while",
        f"real smt: {done}",
    ]
    return tally


def _befall(arena: Arena, chance: Random, turns: Iterator[tuple[int, str]], tally: Tally) -> None:
    """Let something befall one cycle; a step or file that it did not come to was no kill."""
    mishap = chosen(chance, [*arena.mishaps, *arena.lasting], arena.usual, turns)
    if chance.random() < 0.7:
        arena.edit(chance)
    code = arena.cycle(mishap, chance)
    tally.count += 1
    undisturbed = mishap.kind == "none" or (mishap.kills and code == WELL)
    tally.counts["undisturbed" if undisturbed else mishap.kind] += 1
    if code not in EXPECTED:
        tally.differences.append(f"{arena.name}: {mishap} ended with {code}")


@contextmanager
def _on_a_disk(directory: Path, name: str, left: str, right: Callable[[Path], Any]) -> Iterator[Arena]:
    """Give an arena on a disk of its own, with a project of Sumatra in the environment *left*."""
    with disks.disk(directory) as mounted:
        project = SumatraProject(directory / "project", environment(left))
        project.directory.mkdir()
        project.init(PROJECT)
        made = dumb_place if left == "plain" else DjangoPlace
        scene = Scene(directory, Both(made(project.store_path), right(directory)), POLICY)
        arena = Arena(name, project, scene, list(ON_FILES))
        if mounted:
            arena.lasting["full disk"] = partial(disks.full, directory)
            arena.lasting["read-only disk"] = lambda _chance: disks.read_only(directory)
        yield arena


@contextmanager
def sqlite_and_sqlite(directory: Path) -> Iterator[Arena]:
    with _on_a_disk(directory, "SQLite and SQLite", "django", _sqlite) as arena:
        yield arena


@contextmanager
def shelf_and_sqlite(directory: Path) -> Iterator[Arena]:
    with _on_a_disk(directory, "shelf and SQLite", "plain", _sqlite) as arena:
        yield arena


def _sqlite(directory: Path) -> DjangoPlace:
    return DjangoPlace(directory / "mirror.sqlite")


@contextmanager
def sqlite_and_postgresql(directory: Path) -> Iterator[Arena]:
    with (
        postgresql() as server,
        _on_a_disk(directory, "SQLite and PostgreSQL", "django", partial(_new, server)) as arena,
    ):
        yield arena


def _new(server: DatabaseServer, _directory: Path) -> Any:
    return place_of(server.new())


@contextmanager
def sqlite_and_server(directory: Path) -> Iterator[Arena]:
    """A Sumatra Server at the end of a bad wire, that may be ended and started again in the middle."""
    with (
        wire() as line,
        _Restarting(directory.with_name("server"), line) as server,
        _on_a_disk(directory, "SQLite and Sumatra Server", "django", server.place) as arena,
    ):
        arena.lasting |= {
            "half-open socket": lambda _chance: server.bad("dead"),
            "connection cut": lambda chance: server.bad("cut", chance.randrange(3000)),
            "server restarted": lambda _chance: server.restarted(),
        }
        yield arena


class _Restarting:
    """A Sumatra Server that is ended and started again on the same database."""

    def __init__(self, directory: Path, line: Wire) -> None:
        self._directory = directory
        self._line = line
        self._stack = ExitStack()
        self._server: SumatraServer | None = None

    def __enter__(self) -> _Restarting:
        self._start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._server = self._stack.enter_context(
            serving(environment("server"), self._directory, careless=True)
        )
        self._line.command("to", self._server.port)

    def place(self, _directory: Path) -> ServerPlace:
        assert self._server is not None
        whole = replace(self._server, port=self._line.port)
        whole.make_project(PROJECT)
        return ServerPlace(whole)

    @contextmanager
    def bad(self, *how: object) -> Iterator[None]:
        """Let one connection be bad."""
        self._line.command(*how)
        yield
        self._line.command("pass")

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """End the server; it is there again, on the same database, when the cycle has met that."""
        self._stack.close()
        yield
        self._start()


ON_FILES_ONLY: tuple[Making, ...] = (sqlite_and_sqlite, shelf_and_sqlite)
ARENAS: tuple[Making, ...] = (*ON_FILES_ONLY, sqlite_and_server, sqlite_and_postgresql)
