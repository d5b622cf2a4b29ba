"""Small shelves that need much are refused, within a second of processor time and 512 MB."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from smtd.stores.shelf import inert, writing
from tests.build import PROJECT, record
from tests.command import Smtd
from tests.forkserver import client
from tests.stores.places import dumb_place

pytestmark = pytest.mark.halved

#: Scans a shelf in a process of its own; prints the result, and what the child processes took.
SCAN = """
import json, resource, sys
from pathlib import Path
import anyio
from smtd.errors import StoreRefused
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.store import ShelfStore
from tests.forkserver.shelves import new_interpreters

async def scan():
    try:
        found = await ShelfStore(DumbFile(Path(sys.argv[1])), sys.argv[1]).scan()
    except StoreRefused as exc:
        return str(exc)
    return sorted(found.unreadable.values())

with new_interpreters():
    said = anyio.run(scan)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([said, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""


def held(value: bytes) -> bytes:
    """Return the pickle of a project whose one record has *value* as its outcome."""
    marked = record("odd", outcome="~marked~")
    whole = inert.dump({"odd": writing.build(marked)})
    before, after = whole.split(b"X\x08\x00\x00\x00~marked~", 1)
    return before + value + after


def doubled(levels: int) -> bytes:
    """Return opcodes of a list that contains a list twice, which contains one twice, and so on."""
    return b"]q\xf0" + b"".join(b"0](h\xf0h\xf0eq\xf0" for _ in range(levels))


HOSTILE = {
    "call": b"\x80\x02}X\x03\0\0\0oddcos\nsystem\nX\x04\0\0\0true\x85Rs.",
    "import": b"\x80\x02}X\x03\0\0\0oddcantigravity\nfly\ns.",
    "bytes of 64 GB": b"\x80\x04\x8e" + struct.pack("<Q", 64 << 30) + b"abc.",
    "text of 64 GB": b"\x80\x04\x8d" + struct.pack("<Q", 64 << 30) + b"abc.",
    "array of 64 GB": b"\x80\x05\x96" + struct.pack("<Q", 64 << 30) + b"abc.",
    "frame of 64 GB": b"\x80\x04\x95" + struct.pack("<Q", 64 << 30) + b"}.",
    "number of 2 GB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.",
    "memo of 16 GB": b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b".",
    "bytes by a call": b"\x80\x02}X\x03\0\0\0oddc__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x10\x85Rs.",
    "lists 100,000 deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "value 100,000 deep": held(b"]" * 100_000 + b"a" * 99_999),
    "tuples 100,000 deep": b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
    "key that is hashed for ever": b"\x80\x02}(K\x01\x85" + b"2\x86" * 60 + b"K\x01u.",
    "list that doubles": held(doubled(60)),
    "list in itself": held(b"]q\xf0h\xf0a"),
    "digits without end": b"\x80\x02I" + b"9" * 200_000 + b"\n.",
    "marks without end": b"\x80\x02" + b"(" * 400_000 + b".",
}


#: Values that look endless, unless a reader visits each list only once.
SOUND = {"list that doubles", "list in itself"}


def scanned(directory: Path, value: bytes) -> tuple[Any, float, int, str]:
    """Have a process scan a shelf whose project is *value*; return its output, the cost, and the shelf."""
    place = dumb_place(directory / "records")
    with place.pickles(place.location.path) as file:
        file[PROJECT.encode()] = value
    client.programs.add(SCAN)
    done = client.run(["-c", SCAN, str(place.location.path)], directory, Smtd(directory).variables())
    return *json.loads(done.stdout), str(place.location.path)


@pytest.mark.parametrize("name", HOSTILE)
def test_small_shelf_that_needs_much_is_refused_cheaply(name: str, tmp_path: Path) -> None:
    """Or its record is reported, in a sentence."""
    said, seconds, memory, shelf = scanned(tmp_path, HOSTILE[name])

    assert (said == []) is (name in SOUND)
    assert seconds < 1.0
    assert memory < 512_000_000
    if isinstance(said, str):
        assert said.startswith(f"the records of project {PROJECT!r} in the shelf {shelf} cannot")
        assert "\n" not in said


def test_pickle_that_fills_the_memory_stops_at_the_limit(tmp_path: Path) -> None:
    """Three megabytes of empty sets would take 700; the process that reads them may have 590."""
    said, _, memory, _ = scanned(tmp_path, b"\x80\x04(" + b"\x8f" * 3_000_000 + b"t.")

    assert "it asks for more memory than its size allows" in said
    assert memory < 600_000_000
