"""What smtd reads of what others wrote, each as one function of the bytes."""

from __future__ import annotations

import dbm.dumb
import functools
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio
from aiohttp import web

from campaigns.fuzz.mutations import mutated
from smtd import config, filestat
from smtd.errors import StoreRefused
from smtd.records.record import decode
from smtd.stores import retrying
from smtd.stores.django.driver import SQLITE
from smtd.stores.http import form, session
from smtd.stores.http.driver import HTTP
from smtd.stores.legacy import databases, export
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.stores.shelf import messages, worker
from smtd.stores.shelf.dbm_sqlite3 import Sqlite3File
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.ndbm import NdbmFile
from tests.build import PROJECT, full
from tests.stores.old_exports import OLDEST
from tests.stores.places import DjangoPlace, sqlite3_place
from tests.stores.server_place import ADA

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "stores" / "corpus"
SHELVES = sorted(path.stem for path in CORPUS.glob("*.dir"))
#: Reads the case of that number in a directory of its own. Raises errors of ours.
Reading: TypeAlias = Callable[[Random, Path], Any]
PICKLE = [
    bytes((code,))
    for code in b"()]}.0125FGIJKLMNRSTUVX[abcdeghijlopqrstu\x80\x81\x82\x85\x86\x87\x88\x93\x94"
]
NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0\0\0\1", b"\1\0\0\0"]
WORDS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"0" * 400,
    b"[" * 900,
]
LINES = [
    b"\n",
    b"=",
    b'"',
    b"[stores.x]",
    b"[pairs.x]",
    b"'''",
    b"left",
    b"9" * 30,
    b"\xff",
    b"{",
    b"1979-05-27",
]
#: What a cell of a table may hold instead.
CELLS = [
    None,
    0,
    -1,
    2**63 - 1,
    1.5,
    float("inf"),
    "",
    "x" * 300,
    b"\xff\xfe",
    "\ud7ff",
    "{",
    "a,b",
    "2024-13-45",
    "'",
]


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, and how many of a hundred cases are for it."""

    read: Reading
    share: int


def pickles(chance: Random, _scratch: Path) -> None:
    """The value of a shelf, as the child process reads it."""
    answer = worker.answer(
        messages.Read(mutated(_pickle(chance.choice(SHELVES)), chance, PICKLE), timezone="UTC")
    )
    if not isinstance(answer, messages.Records):
        raise StoreRefused("not readable")
    for held in answer.held:
        assert held.problem or decode(held.record).label == held.label


@functools.cache
def _pickle(name: str) -> bytes:
    with dbm.dumb.open(str(CORPUS / name), "r") as shelf:
        return bytes(shelf[next(iter(shelf.keys()))])


def dumb_files(chance: Random, scratch: Path) -> None:
    """An index or a data file of dbm.dumb."""
    name = chance.choice(SHELVES)
    spoiled = chance.choice((".dir", ".dir", ".dat", ".bak"))
    for end in (".dir", ".dat", ".bak"):
        content = (CORPUS / f"{name}{end}").read_bytes()
        _write(
            scratch / f"shelf{end}",
            mutated(content, chance, [*WORDS, *NUMBERS]) if end == spoiled else content,
        )
    filestat.SETTLE = filestat.DAMAGE_AFTER = 0.0  # nobody is still writing it
    DumbFile(scratch / "shelf").read()


def sqlite3_files(chance: Random, scratch: Path) -> None:
    """A dbm.sqlite3."""
    seed = scratch / "seed"
    if not seed.exists():
        with closing(sqlite3_place(seed).pickles(seed).__enter__()._db) as db:
            db.execute("INSERT INTO Dict VALUES (?, ?)", (PROJECT.encode(), _pickle("c081_dumb")))
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _write(scratch / "shelf", mutated(seed.read_bytes(), chance, NUMBERS))
    Sqlite3File(scratch / "shelf").read()


def gnu_files(chance: Random, _scratch: Path) -> None:
    """A file of GNU dbm."""
    GnuFile(Path("shelf"), None).values(mutated((CORPUS / "c081_gnu").read_bytes(), chance, NUMBERS))


def ndbm_files(chance: Random, _scratch: Path) -> None:
    """A file of ndbm."""
    NdbmFile(Path("shelf.db"), None).values(mutated((CORPUS / "c081_ndbm.db").read_bytes(), chance, NUMBERS))


def table_rows(chance: Random, scratch: Path) -> None:
    """Sumatra's tables in SQLite, with other values in some cells."""
    anyio.run(_table_rows, chance, scratch)


async def _table_rows(chance: Random, scratch: Path) -> None:
    seed = scratch / "seed.sqlite"
    if not seed.exists():
        await DjangoPlace(seed).put(full("one"), full("two"), full("three"))
    store = scratch / "store.sqlite"
    shutil.copyfile(seed, store)
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        tables = [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE name LIKE 'django_store%' AND type = 'table'"
            )
        ]
        for _ in range(chance.choice((1, 1, 2, 5))):
            table = chance.choice(tables)
            column = chance.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
            try:
                db.execute(
                    f'UPDATE {table} SET "{column}" = ? WHERE rowid % 2 = ?',
                    (chance.choice(CELLS), chance.randrange(2)),
                )
            except sqlite3.IntegrityError:
                continue
    await _scan(Location(SQLITE, store))


def database_files(chance: Random, scratch: Path) -> None:
    """The file of an SQLite store, of Sumatra 0.8 or before."""
    name = chance.choice(("django074.sqlite", "django_0.4.0.sqlite"))
    _write(scratch / "old.sqlite", mutated((CORPUS / name).read_bytes(), chance, NUMBERS))
    databases.SOURCE.load(scratch / "old.sqlite", "UTC")


def exports(chance: Random, scratch: Path) -> None:
    """What `smt export` wrote."""
    document = json.dumps([OLDEST, {**OLDEST, "label": "two"}]).encode()
    _write(scratch / "records_export.json", mutated(document, chance, WORDS))
    export.SOURCE.load(scratch / "records_export.json", "UTC")


def answers(chance: Random, _scratch: Path) -> None:
    """What a server answers to a scan and to reads."""
    session.FIRST_PAUSE = session.LONGEST_PAUSE = retrying.FIRST_PAUSE = retrying.LONGEST_PAUSE = 0.0
    session.SILENCE = 2.0
    anyio.run(_answers, chance)


async def _answers(chance: Random) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        (seed,) = [
            body for end, body in _said(str(request.url.origin())).items() if request.path.endswith(end)
        ] or [b"{}"]
        status = chance.choice((200, 200, 200, 200, 204, 302, 404, 500))
        kind = chance.choice(("application/json", "application/json", "text/html", "x"))
        body = mutated(seed, chance, WORDS) if chance.random() < 0.7 else seed
        return web.Response(status=status, body=body, headers={"Content-Type": kind})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/records/"
        await _scan(Location(HTTP, Path(), None, ADA, url))
    finally:
        await runner.cleanup()


def _said(origin: str) -> dict[str, bytes]:
    """Return what a real server answers, by the end of the path."""
    home = f"{origin}/records"
    listing = {"records": [f"{home}/{PROJECT}/run/"], "name": PROJECT, "tags": [], "access": ["ada"]}
    return {
        f"/{PROJECT}/run/": form.body(full("run")),
        f"/{PROJECT}/": json.dumps(listing).encode(),
        "/records/": json.dumps([{"id": PROJECT, "name": PROJECT, "uri": f"{home}/{PROJECT}/"}]).encode(),
    }


async def _scan(location: Location) -> None:
    async with open_store(location) as store:
        found = await store.scan()
        await store.read(list(found.digests))


def configurations(chance: Random, scratch: Path) -> None:
    """A configuration file."""
    _write(scratch / "config.toml", mutated((ROOT / "config.example.toml").read_bytes(), chance, LINES))
    config.load(scratch / "config.toml")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


TARGETS = {
    "pickles": Target(pickles, 32),
    "dumb-files": Target(dumb_files, 10),
    "sqlite3-files": Target(sqlite3_files, 6),
    "gnu-files": Target(gnu_files, 10),
    "ndbm-files": Target(ndbm_files, 10),
    "table-rows": Target(table_rows, 1),
    "database-files": Target(database_files, 5),
    "exports": Target(exports, 10),
    "answers": Target(answers, 4),
    "configurations": Target(configurations, 10),
}
