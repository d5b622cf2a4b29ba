"""smtd does not write to another shelf what loading would run; it copies what is harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.errors import RecordUnusable
from smtd.records.record import Pickled
from smtd.stores.base import DONE, Change, Result
from smtd.stores.shelf import inert, writing
from tests.build import PROJECT, change, record
from tests.stores.places import dumb_place
from tests.stores.test_shelf_limits import held

HARMFUL = {
    "command": (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R", "a call of os.system"),
    "import": (b"cantigravity\nfly\n)\x81", "antigravity.fly, which Sumatra would import"),
    "much memory": (b"c__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R", "a call of __builtin__.bytearray"),
    "method": (b"cbuiltins\ngetattr\nX\x01\0\0\0aX\x05\0\0\0upper\x86R", "a call of builtins.getattr"),
    "program": (b"csubprocess\nPopen\n)\x81", "names subprocess.Popen"),
    "call in a list": (b"]cshutil\nrmtree\nX\x01\0\0\0/\x85Ra", "a call of shutil.rmtree"),
    "call in a state": (b"cplugin\nThing\n)\x81}X\x01\0\0\0acos\ngetcwd\n)Rsb", "a call of os.getcwd"),
    "call of a plugin": (b"cplugin\nrun\n)R", "a call of plugin.run"),
}
HARMLESS = {
    "object of a plugin": b"cplugin\nThing\n)\x81}X\x01\0\0\0aK\x01sb",
    "ordered dictionary": b"ccollections\nOrderedDict\n)R",
    "expression": b"cre\n_compile\nX\x01\0\0\0aK\x20\x86R",
    "path": b"cpathlib\nPosixPath\nX\x01\0\0\0a\x85R",
}


@pytest.mark.parametrize(("value", "reason"), HARMFUL.values(), ids=HARMFUL)
async def test_record_that_would_run_code_is_not_copied(value: bytes, reason: str, tmp_path: Path) -> None:
    """smtd reads it, and every other shelf refuses it, with what it would do."""
    outcome, there = await handed_on(value, tmp_path)

    assert outcome.result is Result.REFUSED
    assert reason in outcome.reason
    assert outcome.reason.endswith("whenever it loads the shelf; smtd does not sync it")
    assert there == {}


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
async def test_harmless_objects_are_copied(value: bytes, tmp_path: Path) -> None:
    """Values that smtd has no field for are copied between shelves as they were pickled."""
    outcome, there = await handed_on(value, tmp_path)

    assert outcome == DONE
    assert len(there) == 1


def test_refused_edit_changes_nothing() -> None:
    """Not even fields that could be written; other records of the batch are saved in the same pickle."""
    pickled = writing.build(record())
    before = inert.dump(pickled)
    call = Pickled(b"digest", b"\x80\x02cos\ngetcwd\n)R.")

    with pytest.raises(RecordUnusable, match=r"a call of os\.getcwd"):
        writing.update(pickled, change(record(), reason="new", opaque={"note": call}))

    assert inert.dump(pickled) == before


async def handed_on(value: bytes, directory: Path):
    """Copy a record with *value* from one shelf to another; return the outcome, and the result."""
    source, target = dumb_place(directory / "source"), dumb_place(directory / "target")
    with source.pickles(source.location.path) as file:
        file[PROJECT.encode()] = held(value)
    async with source.open() as left, target.open() as right:
        ((key, record),) = (await left.read((await left.scan()).digests)).items()
        (outcome,) = await right.write([Change(key, record, None)])
        return outcome, (await right.scan()).digests
