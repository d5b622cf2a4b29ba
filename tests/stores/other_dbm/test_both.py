"""Tests of shelves of both dbm.gnu and dbm.ndbm: the contract, and what their modules wrote."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from smtd.errors import StoreUnreachable
from smtd.filestat import NotSettled
from smtd.stores.base import DONE
from smtd.stores.driver import Driver
from smtd.stores.shelf import gnu, ndbm
from smtd.stores.shelf.driver import GNU, NDBM
from tests.build import key, record
from tests.peers.environments import Environment
from tests.stores.asking import create, write_to
from tests.stores.contract import ResumedContract
from tests.stores.places import CORPUS, ShelfPlace, by_module, foreign_place, opened_elsewhere

KINDS = {
    GNU: ("dbm.gnu", "records", gnu.parse, "c081_gnu"),
    NDBM: ("dbm.ndbm", "records.db", ndbm.parse, "c081_ndbm.db"),
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def place(kind: Driver, tmp_path: Path, dbm_environment: Environment) -> ShelfPlace:
    """An empty shelf."""
    return foreign_place(kind, tmp_path / KINDS[kind][1], dbm_environment.python)


@each_kind
@pytest.mark.halved
class TestShelfOfAnotherDbm(ResumedContract):
    """The contract for both kinds."""

    # All steps but the last are those of the shelf on dbm.dumb.
    look_interrupted_at_every = 4
    write_interrupted_at_every = 6
    tried_at_every = 5


@each_kind
@pytest.mark.parametrize("count", [0, 1, 30, 3000])
def test_every_value_is_found(kind: Driver, count: int, tmp_path: Path, dbm_environment: Environment) -> None:
    """Whether there are few keys or many buckets, empty values or values of many pages."""
    module, name, parse, _ = KINDS[kind]
    chance = random.Random(count)
    lengths = [0, 1, 70, 300_000 if count < 100 else 5000]
    given = {b"%d" % number: chance.randbytes(chance.choice(lengths)) for number in range(count)}

    by_module(dbm_environment.python, module, tmp_path / "records", given)

    assert parse((tmp_path / name).read_bytes()) == given


def somewhere_in_gnu(chance: random.Random) -> int:
    return chance.randrange(5000)


def somewhere_in_ndbm(chance: random.Random) -> int:
    """Return places where the head or the end of a page may be."""
    return chance.randrange(5) * 4096 + chance.choice((chance.randrange(224), -chance.randrange(1, 80)))


@pytest.mark.parametrize(
    ("kind", "somewhere", "cut_off", "known"),
    [
        # Its end is unused space.
        (GNU, somewhere_in_gnu, {"damaged", "well"}, 0),
        (NDBM, somewhere_in_ndbm, {"damaged"}, 100),
    ],
    ids=["GNU", "NDBM"],
)
def test_damaged_file_is_read_or_gives_an_error_of_smtd(
    kind: Driver, somewhere: Callable[[random.Random], int], cut_off: set[str], known: int
) -> None:
    """Wherever a file is cut off or altered, smtd reads what it holds, or reports that it is damaged."""
    _, _, parse, real = KINDS[kind]
    whole = (CORPUS / real).read_bytes()
    chance = random.Random(1)
    cut = [whole[:length] for length in range(0, len(whole), 97)]
    altered = []
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 8))):
            content[somewhere(chance) % len(content)] = chance.randrange(256)
        altered.append(bytes(content))

    told = [_told(parse, content) for content in (*cut, *altered)]

    assert set(told[: len(cut)]) == cut_off
    assert told.count("damaged") > len(cut) + known
    assert told.count("other keys") < len(altered) // 50
    assert _told(parse, whole) == "well"


def _told(parse: Callable[[bytes], dict[bytes, bytes]], content: bytes) -> str:
    try:
        return "well" if parse(content).keys() == {b"corpus"} else "other keys"
    except NotSettled:
        return "damaged"
    except ndbm.UnknownForm:
        return "unknown"


#: How another program has the file open: gdbm locks it, Berkeley DB has no lock.
HOLDERS: dict[Driver, Callable[[Path], AbstractContextManager[None]]] = {
    GNU: partial(opened_elsewhere, locked=True),
    NDBM: opened_elsewhere,
}


@each_kind
async def test_shelf_open_in_another_program_can_be_read(kind: Driver, place: ShelfPlace) -> None:
    """gdbm locks others out while `smt run` runs, Berkeley DB does not.

    smtd reads, and waits before it writes.
    """
    await place.put(record())
    before = place.files()

    with HOLDERS[kind](place.location.path):
        async with place.open() as shelf:
            scan = await shelf.scan()
            with pytest.raises(StoreUnreachable, match=r"is open in another program \(smt run\?\)"):
                await shelf.write([create(record("new"))])

    assert set(scan.digests) == {key("run")}
    assert place.files() == before
    assert await write_to(place, [create(record("new"))]) == [DONE]
