"""A kind of store only for tests: a file of lines, and a server that serves such files by name.

smtd knows only what is in `TOY` and `TOY_SERVER`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from anyio import to_thread

from smtd.errors import UsageError
from smtd.records.record import Key, Record, decode, encode
from smtd.stores.access import Access
from smtd.stores.base import Change, Outcome, Scan, Token
from smtd.stores.driver import Driver, Files, Place, ProjectEntry, Server
from smtd.stores.incarnation import FileMarks
from smtd.stores.memory import MemoryStore

START = "TOY"


class ToyStore(MemoryStore):
    """The records in the file at *path*, which is read and written whole; it permits only one writer."""

    kind = "toy"
    capabilities = replace(MemoryStore.capabilities, resumes=False)

    def __init__(self, path: Path, location: str) -> None:
        super().__init__(location)
        self._path = path

    async def projects(self) -> list[str]:
        await self._load()
        return await super().projects()

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        await self._load()
        return await super().scan(projects)

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        await self._load()
        return await super().read(keys)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        await self._load()
        outcomes = await super().write(changes)
        lines = [json.dumps([*key, encode(record).hex()]) for key, record in self.records.items()]
        await to_thread.run_sync(self._path.write_text, "\n".join([START, *lines, ""]), "utf-8")
        return outcomes

    async def token(self) -> Token | None:
        return None

    async def unchanged_since(self, token: Token) -> bool:
        return False

    async def _load(self) -> None:
        self.records = await to_thread.run_sync(self._loaded)

    def _loaded(self) -> dict[Key, Record]:
        if not self._path.exists():
            return {}
        lines = map(json.loads, self._path.read_text("utf-8").splitlines()[1:])
        return {Key(project, label): decode(bytes.fromhex(text)) for project, label, text in lines}


@asynccontextmanager
async def _open(place: Place) -> AsyncIterator[ToyStore]:
    yield ToyStore(place.path, str(place))


def _is_toy(path: Path, start: bytes) -> bool:
    return start.startswith(START.encode())


TOY = Driver(
    name="toy",
    open=_open,
    files=Files(what="a toy", begins=_is_toy, new=(".toy",), marks=FileMarks(never_shrinks=True)),
    project=ProjectEntry("ToyRecordStore", "toy_file"),
)


def _parse(address: str, access: Access) -> tuple[str, Access]:
    user, _, place = address.removeprefix("toy://").rpartition("@")
    if not place:
        raise UsageError("this is not the address of a toy; write it like toy://user@path")
    return f"toy://{place}", access.of(user, None)


@asynccontextmanager
async def _open_server(place: Place) -> AsyncIterator[ToyStore]:
    yield ToyStore(Path(place.url.removeprefix("toy://")), str(place))


TOY_SERVER = Driver(name="toy_server", open=_open_server, server=Server(schemes=("toy",), parse=_parse))
