"""Files of a dumb shelf that other programs write at the same time, or that a crash left half written."""

from __future__ import annotations

import dbm.dumb
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smtd import filestat
from smtd.errors import StoreError, StoreUnreachable
from smtd.filestat import NotSettled
from smtd.records.record import Key
from smtd.stores.base import DONE, Change
from smtd.stores.shelf import dumb, inert, writing
from smtd.stores.shelf.contents import Swap
from smtd.stores.shelf.driver import DUMB
from smtd.stores.shelf.dumb import DumbFile
from tests.build import PROJECT, key, record
from tests.stores.asking import create, read_from, scan_of, write_and_scan, write_to
from tests.stores.killing import killed
from tests.stores.places import HastyTime, ShelfPlace, dumb_place

PROJECTS = ("one", "two", "three")


@pytest.fixture
def place(tmp_path: Path) -> ShelfPlace:
    directory = tmp_path / "shelf"
    directory.mkdir()
    return dumb_place(directory / "records")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a shelf soon if it is never quiet."""
    monkeypatch.setattr(filestat, "time", HastyTime)


def file(place: ShelfPlace, ending: str) -> Path:
    return Path(f"{place.location.path}.{ending}")


def remove(place: ShelfPlace, *endings: str) -> None:
    for ending in endings:
        file(place, ending).unlink()


def pickled(*labels: str, text: str = "") -> bytes:
    """Return the pickle of a project of finished runs."""
    return inert.dump({label: writing.build(record(label, stdout_stderr=text)) for label in labels})


# While other programs write

WRITER = """
import dbm.dumb, random, sys, time
path, seconds, values = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
random.seed(42)
pickles = [open(value, "rb").read() for value in values]
end = time.monotonic() + seconds
while time.monotonic() < end:
    for _ in range(random.choice([1, 20])):
        with dbm.dumb.open(path, "c") as shelf:
            shelf[random.choice(["one", "two", "three"]).encode()] = random.choice(pickles)
    time.sleep(random.choice([0, 0.02, 0.08, 0.15]))
"""
LABELS = [f"run-{number}" for number in range(3)]


@pytest.fixture
def busy(place: ShelfPlace, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that saves project after project in bursts, with pauses of all lengths."""
    paths = [tmp_path / str(number) for number in range(4)]
    # Some have the same size, so that one overwrites the other.
    for path, text in zip(paths, ("x" * 10, "y" * 400_000, "z" * 20, "x" * 400_000), strict=True):
        path.write_bytes(pickled(*LABELS, text=text))
    with place.pickles(place.location.path) as shelf:
        for project in PROJECTS:
            shelf[project.encode()] = paths[0].read_bytes()
    writer = start(WRITER, place.location.path, 1.5, *paths)
    yield writer
    assert writer.wait() == 0


def test_reads_beside_a_writer_return_nothing_torn(
    place: ShelfPlace, busy: subprocess.Popen[bytes], impatient: None
) -> None:
    """However often smtd reads."""
    file = DumbFile(place.location.path)

    projects, pickles = set(), set()
    while busy.poll() is None:
        try:
            held = file.read()[0]
        except StoreUnreachable:
            continue
        projects.add(frozenset(held))
        pickles |= set(held.values())

    assert projects == {frozenset(project.encode() for project in PROJECTS)}
    assert all(is_whole(inert.load(value)) for value in pickles)


def is_whole(held: dict[str, inert.Inert]) -> bool:
    """Say whether a project was saved at one time: it has all records, all with the same letter."""
    return (
        list(held) == LABELS and len(set("".join(one.state["stdout_stderr"] for one in held.values()))) == 1
    )


def start(script: str, *args: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", script, *map(str, args)], env=environment)


async def test_value_overwritten_by_a_longer_one_is_read_to_its_end(place: ShelfPlace) -> None:
    """A program has overwritten it in place, and not saved the index yet."""
    before, after = pickled("run", text="x" * 100), pickled("run", text="y" * 110)
    assert len(before) < len(after) <= -(-len(before) // dumb.BLOCK) * dumb.BLOCK

    with dbm.dumb.open(str(place.location.path), "c") as held:
        held[PROJECT.encode()] = before
        held.sync()
        held[PROJECT.encode()] = after
        found = await read_from(place, [key("run")])

    assert found[key("run")].stdout_stderr == "y" * 110


#: The states of a save of dbm.dumb between its steps.
STEPS: dict[str, Callable[[ShelfPlace], object]] = {
    "the old index is set aside": lambda place: file(place, "dir").rename(file(place, "bak")),
    "the new index is empty": lambda place: file(place, "dir").write_bytes(b""),
    "the new index is cut off": lambda place: os.truncate(file(place, "dir"), 30),
    "the data is cut off": lambda place: os.truncate(file(place, "dat"), 700),
    "the data is empty": lambda place: os.truncate(file(place, "dat"), 0),
}
#: Indexes that match no data.
INDEXES: dict[str, str | bytes] = {
    "text": "notes to myself\n",
    "bytes": bytes(range(256)),
    "code": "__import__('os').abort(), (0, 10)\n",
    "a place that is none": "'MyProject', 5\n",
    "a place of fractions": "'MyProject', (0.5, 10)\n",
    "a place of lists": "'MyProject', ([], [])\n",
    "a place before the beginning": "'MyProject', (-5, 10)\n",
    "a place of less than nothing": "'MyProject', (0, -10)\n",
    "a place beyond the end": f"'MyProject', (0, {10**15})\n",
    "a place beyond all numbers": f"'MyProject', ({10**30}, 1)\n",
    "a key that is none": "5, (0, 10)\n",
    "signs without an end": "-" * 100_000 + "1\n",
    "brackets without an end": "(" * 100_000 + "\n",
}
DAMAGES: dict[str, Callable[[ShelfPlace], object]] = {
    "no data": lambda place: remove(place, "dat"),
    "no data and no index": lambda place: remove(place, "dat", "dir"),
    **{
        f"an index of {name}": partial(lambda content, place: written(file(place, "dir"), content), content)
        for name, content in INDEXES.items()
    },
}


def written(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_half_finished_save_makes_the_store_unreachable(
    place: ShelfPlace, impatient: None, step: Callable[[ShelfPlace], object]
) -> None:
    """It is no store without records: smtd tries again later.

    smtd does not write to it either, as it may hold more than its index shows.
    """
    await place.put(record())
    await place.put(record("new"))
    step(place)
    before = place.files()

    async with place.open() as shelf:
        with pytest.raises(StoreUnreachable) as told:
            await shelf.scan()
        with pytest.raises(StoreUnreachable):
            await shelf.write([Change(Key("Other", "run"), record(), None)])

    assert_sentence(told.value, place)
    assert place.files() == before


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_damaged_shelf_is_an_error(
    place: ShelfPlace, impatient: None, damage: Callable[[ShelfPlace], object]
) -> None:
    """In one sentence, if its files do not match; nothing in it is run."""
    await place.put(record())
    await place.put(record("new"))
    damage(place)

    with pytest.raises(StoreError) as told:
        await scan_of(place)

    assert_sentence(told.value, place)


async def test_shelf_without_its_index_says_what_to_do(place: ShelfPlace, impatient: None) -> None:
    """If only the backup of the index is left, the message says how to use it."""
    await place.put(record())
    file(place, "dir").rename(file(place, "bak"))

    with pytest.raises(StoreUnreachable, match=r"records\.dir is missing.*copy records\.bak"):
        await scan_of(place)


def assert_sentence(error: Exception, place: ShelfPlace) -> None:
    """Assert that *error* says in one line what is wrong and where."""
    said = str(error)
    assert str(place.location.path) in said
    assert "\n" not in said
    assert "Errno" not in said
    assert len(said) < 500


# While smtd writes


def at_sync(monkeypatch: pytest.MonkeyPatch, number: int, deed: Callable[[], object]) -> None:
    """Run *deed* once, when smtd syncs a file to disk for the *number*th time."""
    todo: list[Callable[[], object]] = [lambda: None] * (number - 1) + [deed]

    def sync(handle: int) -> None:
        if todo:
            todo.pop(0)()
        os_fsync(handle)

    os_fsync = os.fsync
    monkeypatch.setattr(os, "fsync", sync)


@pytest.mark.parametrize(("project", "number"), [("Theirs", 1), ("Theirs", 5), (PROJECT, 1)])
async def test_record_added_by_another_program_during_a_write_stays(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch, project: str, number: int
) -> None:
    """In the same project or, up to the swap, in another one."""
    await place.put(record())
    theirs = inert.load(pickled("theirs"))
    at_sync(monkeypatch, number, lambda: place._edit(lambda held: held.update(theirs), project.encode()))

    outcomes, scan = await write_and_scan(place, [create(record("ours"))])

    assert outcomes == [DONE]
    assert set(scan.digests) == {key("run"), key("ours"), key("theirs", project)}


@pytest.mark.parametrize("number", [1, 5])
async def test_block_overwritten_by_another_program_is_not_used(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """smtd does not take for its own what another program put where smtd had just written."""
    await place.put(record())
    end = file(place, "dat").stat().st_size
    start = -(-end // dumb.BLOCK) * dumb.BLOCK

    def overwrite() -> None:
        with file(place, "dat").open("rb+") as data:
            data.seek(start)
            data.write(b"theirs" * 100)

    at_sync(monkeypatch, number, overwrite)
    outcomes, scan = await write_and_scan(place, [create(record("ours"))])

    assert outcomes == [DONE]
    assert set(scan.digests) == {key("run"), key("ours")}


def test_write_waits_for_a_save_without_an_index(place: ShelfPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps of a save there is no index; smtd writes after that."""
    with dbm.dumb.open(str(place.location.path), "c") as shelf:
        shelf[b"MyProject"] = b"old"
    swaps = {b"MyProject": Swap(values(place)[b"MyProject"], b"new")}
    at_sync(monkeypatch, 1, lambda: file(place, "dir").rename(file(place, "bak")))

    with pytest.raises(NotSettled):
        DumbFile(place.location.path).replace(swaps)

    file(place, "bak").rename(file(place, "dir"))
    assert DumbFile(place.location.path).replace(swaps) == {b"MyProject"}


async def test_lock_of_a_stopped_smtd_delays_no_write_forever(
    place: ShelfPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped in the middle of a write."""
    monkeypatch.setattr(dumb, "PATIENCE", 0.0)
    await place.put(record())
    before = place.files()

    with file(place, "dat").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreUnreachable, match=r"has locked .*records\.dat for 0 s; writes wait"):
            await write_to(place, [create(record("new"))])

    assert place.files() == before


@pytest.mark.parametrize("there", [True, False], ids=["a shelf", "a new shelf"])
def test_killed_write_leaves_all_old_values_or_all_new_ones(place: ShelfPlace, there: bool) -> None:
    """At whatever step, and it can be repeated."""
    new = pickled("run", "new", text="x" * 2000)
    if there:
        with dbm.dumb.open(str(place.location.path), "c") as shelf:
            shelf[b"MyProject"], shelf[b"Other"] = pickled("run"), pickled("other")
    before = values(place)
    swaps = {b"MyProject": Swap(before.get(b"MyProject"), new), b"New": Swap(None, new)}

    told = killed(DUMB, place.location.path.parent, swaps)

    assert [ended for ended, _ in told] == [-signal.SIGKILL] * (len(told) - 1) + [0]
    for _, path in told:
        copy = dumb_place(path)
        found = values(copy)
        is_done = b"New" in found
        assert found.keys() == before.keys() | (swaps.keys() if is_done else set())
        assert {name: found[name] for name in found if not is_done or name not in swaps} == {
            name: before[name] for name in before if not is_done or name not in swaps
        }
        assert all(found[name].startswith(new) for name in swaps if is_done)
        assert all(found[name].startswith(same) for name, same in real_values(copy).items())
        assert DumbFile(path).replace({b"MyProject": Swap(found.get(b"MyProject"), b"last")})
        assert real_values(copy)[b"MyProject"] == b"last"
        assert set(copy.files()) <= {"records.dat", "records.dir", "records.bak"}
    assert is_done
    assert len(told) > 10


def values(place: ShelfPlace) -> dict[bytes, bytes]:
    """Return what smtd reads: values up to the end of their last block."""
    return DumbFile(place.location.path).read()[0]


def real_values(place: ShelfPlace) -> dict[bytes, bytes]:
    """Return what dbm.dumb itself reads; nothing if it finds no shelf yet."""
    try:
        with dbm.dumb.open(str(place.location.path), "r") as shelf:
            return {key: shelf[key] for key in shelf}
    except FileNotFoundError:
        return {}


def test_write_keeps_the_modes_of_the_files(place: ShelfPlace) -> None:
    """The same users can read and write the shelf afterwards."""
    with dbm.dumb.open(str(place.location.path), "c", 0o664) as shelf:
        shelf[b"MyProject"] = b"old"
    for ending in ("dat", "dir"):
        file(place, ending).chmod(0o660)

    assert DumbFile(place.location.path).replace({b"MyProject": Swap(values(place)[b"MyProject"], b"new")})

    assert [file(place, ending).stat().st_mode & 0o777 for ending in ("dat", "dir")] == [0o660, 0o660]


def test_shelf_behind_links_is_written_in_place(place: ShelfPlace, tmp_path: Path) -> None:
    """Programs that use the files by their own names see the write, and lose nothing."""
    with dbm.dumb.open(str(place.location.path), "c") as shelf:
        shelf[b"MyProject"] = b"old"
    linked = tmp_path / "linked"
    linked.mkdir()
    for ending in ("dat", "dir", "bak"):
        (linked / f"records.{ending}").symlink_to(file(place, ending))
    there = DumbFile(linked / "records")

    assert there.replace(
        {b"MyProject": Swap(there.read()[0][b"MyProject"], b"new"), b"New": Swap(None, b"new")}
    )

    with dbm.dumb.open(str(place.location.path), "w") as shelf:
        assert {key: shelf[key] for key in shelf} == {b"MyProject": b"new", b"New": b"new"}
        shelf[b"Theirs"] = b"theirs"
    assert there.read()[0].keys() == {b"MyProject", b"New", b"Theirs"}


def test_projects_of_any_name_are_found_in_the_index(place: ShelfPlace) -> None:
    """And dbm.dumb finds them where smtd wrote."""
    names = ["a'b", 'a"b', "é", "日本", "a\nb", "a\\b", "a\x85b", "a\u2028b", "😀", " ", "a, (0, 1)"]
    there = DumbFile(place.location.path)
    with dbm.dumb.open(str(place.location.path), "c") as shelf:
        for name in names[::2]:
            shelf[name.encode()] = name.encode()

    for name in names[1::2]:
        assert there.replace({name.encode(): Swap(None, name.encode())})

    with dbm.dumb.open(str(place.location.path), "r") as shelf:
        assert {key: shelf[key] for key in shelf} == {name.encode(): name.encode() for name in names}
    assert {key: value.rstrip(b"\0") for key, value in values(place).items()} == {
        name.encode(): name.encode() for name in names
    }


def test_files_that_change_during_a_read_are_read_again(tmp_path: Path) -> None:
    """What was read before may be torn."""
    path = tmp_path / "file"
    path.write_text("old")
    os.utime(path, (0, 0))

    def read() -> str:
        found = path.read_text()
        if found == "old":
            path.write_text("new")
        return found

    found, seen, _ = filestat.read_settled([path], read, what="it")

    assert found == "new"
    assert seen == filestat.signature([path])


def test_files_are_read_only_when_they_have_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """smtd waits a moment after a write."""
    path = tmp_path / "file"
    path.touch()
    written = max(path.stat().st_mtime, path.stat().st_ctime)
    waited: list[float] = []

    class Clock:
        monotonic = time.monotonic
        sleep = waited.append

        @staticmethod
        def time() -> float:
            return written + 0.01 + sum(waited)

    monkeypatch.setattr(filestat, "time", Clock)
    filestat.read_settled([path], lambda: waited.append(0.0), what="it")

    assert sum(waited) == pytest.approx(filestat.SETTLE - 0.01, abs=1e-3)
    assert waited[-1] == 0.0


def test_shelf_that_never_settles_is_given_up() -> None:
    """After a while, with the reason of the last try."""

    def read() -> None:
        raise NotSettled("it is torn")

    with pytest.raises(StoreUnreachable, match="the shelf X cannot be read: it is torn"):
        filestat.read_settled([], read, what="the shelf X", patience=0)
