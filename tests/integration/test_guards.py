"""Whatever happens to a real store, smtd takes no missing record for deleted."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from smtd.engine.resolve import Resolution, resolve
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.journal.decisions import Choice
from smtd.merge.sides import Side
from smtd.sqlite import connect
from tests.build import full, tagged
from tests.command import Smtd
from tests.integration.test_put_back import KINDS
from tests.peers.server import SumatraServer
from tests.stores.confined import cramped, mortal
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace, HastyTime, ShelfPlace, locked
from tests.stores.server_place import ServerPlace

pytestmark = pytest.mark.halved

RECORDS = [full(f"run-{number}") for number in range(4)]
LABELS = {one.label for one in RECORDS}


async def kept(kind: str, directory: Path) -> RealPair:
    """Return a store of *kind* in a directory of its own, in sync with a database."""
    (directory / "home").mkdir()
    left, right = KINDS[kind](directory / "home" / "records"), DjangoPlace(directory / "right.sqlite")
    return await RealPair(directory / "state", left, right).synced(RECORDS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of file."""
    return str(request.param)


LOCKABLE = [name for name in KINDS if name != "dbm.dumb"]  # which has no lock


@pytest.fixture
async def pair(kind: str, tmp_path: Path) -> RealPair:
    """A pair with a store of each kind on the left."""
    return await kept(kind, tmp_path)


def home(pair: RealPair) -> Path:
    """Return the directory of the left store."""
    return pair.directory.parent / "home"


async def empty(pair: RealPair) -> None:
    """Delete every record on the left, as programs do."""
    left = pair.left
    if isinstance(left, ShelfPlace):
        await left.edit(lambda held: held.clear())
    else:
        for label in LABELS:
            await left.remove(label)


async def test_missing_store_is_offline(pair: RealPair) -> None:
    """The other side does not change; when the store is back, both are synced."""
    home(pair).rename(home(pair).with_name("elsewhere"))
    await pair.right.put(full("more"))

    with pytest.raises(StoreUnreachable, match="is missing, but was synced before; bring it back"):
        await pair.cycle()
    assert await pair.labels(Side.RIGHT) == {*LABELS, "more"}
    home(pair).with_name("elsewhere").rename(home(pair))

    report = await pair.cycle()
    assert (report.ok, report.adopted, report.left.created) == (True, [], 1)


async def test_deletions_of_an_emptied_store_are_held(pair: RealPair) -> None:
    """Everything else is synced in both directions.

    A user who rejects the deletions has the records again.
    """
    await empty(pair)
    await pair.left.put(full("here"))
    await pair.right.put(full("there"))

    report = await pair.cycle()

    assert {each.label for each in report.held} == LABELS
    assert (report.adopted, report.left.created, report.right.created, report.right.deleted) == ([], 1, 1, 0)
    await pair.on_pair(resolve, Resolution(Choice.REJECT))
    assert (await pair.cycle()).ok
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT) == {*LABELS, "here", "there"}


async def test_recreated_store_is_adopted(pair: RealPair, kind: str) -> None:
    """Another file at its place is unrelated to the old one: both sides get all records."""
    await pair.left.put(tagged(RECORDS[0], "seen"))
    await pair.cycle()
    shutil.rmtree(home(pair))
    home(pair).mkdir()
    await KINDS[kind](home(pair) / "records").put(full("new"))

    report = await pair.cycle()

    assert (report.ok, report.adopted, report.left.created, report.right.created) == (True, [Side.LEFT], 4, 1)


@pytest.mark.parametrize("rest", [0, 3000])
async def test_truncated_file_deletes_nothing(
    pair: RealPair, rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported as damaged; the other side keeps all, and is synced with the intact file again."""
    monkeypatch.setattr("smtd.filestat.time", HastyTime)
    file = pair.left.location.files[0]
    whole = file.read_bytes()
    os.truncate(file, rest)

    report = await pair.tried()

    assert isinstance(report, StoreError) or {each.label for each in report.held} == LABELS
    assert await pair.labels(Side.RIGHT) == LABELS
    file.write_bytes(whole)
    again = await pair.cycle()
    assert (again.ok, again.in_sync, again.left.written + again.right.written) == (True, 4, 0)


async def test_clock_set_back_deletes_nothing(pair: RealPair) -> None:
    """A file older than its last look may be a copy: records that it lacks come back, once."""
    await pair.left.remove("run-0")
    for file in home(pair).iterdir():
        os.utime(file, (10**9, 10**9))

    report = await pair.cycle()
    assert (report.ok, report.adopted, report.left.created, report.right.deleted) == (True, [Side.LEFT], 1, 0)
    await pair.left.remove("run-1")
    after = await pair.cycle()

    assert (after.ok, after.adopted, after.right.deleted) == (True, [], 1)


@pytest.mark.parametrize("kind", LOCKABLE)
async def test_locked_store_deletes_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd waits, but not forever; once the store is unlocked, a user's deletion is carried."""
    pair = await kept(kind, tmp_path)
    await pair.left.remove("run-0")
    for name, patience in (("shelf.dbm_sqlite3.TIMEOUT", 0.1), ("incarnation._PATIENCE", 0.1)):
        monkeypatch.setattr(f"smtd.stores.{name}", patience)
    monkeypatch.setattr("smtd.stores.django.sqlite.connect", partial(connect, patience=0.1))

    with locked(pair.left.location.path):
        during = await pair.tried()
        assert await pair.labels(Side.RIGHT) == LABELS
    after = await pair.cycle()

    assert isinstance(during, StoreUnreachable)
    assert (after.ok, after.adopted, after.right.deleted) == (True, [], 1)


@pytest.mark.parametrize("mode", [0o000, 0o400])
async def test_store_without_permission_deletes_nothing(pair: RealPair, smtd: Smtd, mode: int) -> None:
    """Whether it cannot be read, or only not written; with the permission back, it is synced."""
    await pair.right.put(full("more"))
    files = list(home(pair).iterdir())
    modes = [file.stat().st_mode for file in files]
    for file in files:
        file.chmod(mode)

    answer = await pair.by(mortal(smtd))

    assert (answer.code, answer.out) == (4, "")
    assert str(pair.left.location) in answer.err
    assert await pair.labels(Side.RIGHT) == {*LABELS, "more"}
    for file in home(pair).iterdir():  # SQLite creates files with the mode of the store
        file.chmod(0o600)
    for file, before in zip(files, modes, strict=True):
        file.chmod(before)
    after = await pair.cycle()
    assert (after.ok, after.left.created, after.right.written) == (True, 1, 0)


async def test_store_on_a_full_disk_deletes_nothing(pair: RealPair, smtd: Smtd) -> None:
    """The open transaction is rolled back; with more space it is synced, and users' deletions are carried."""
    await pair.left.put(full("large", stdout_stderr="0123456789" * 50_000))
    await pair.cycle()
    await pair.right.put(*[full(f"more-{number}", stdout_stderr="more" * 5_000) for number in range(5)])
    await pair.left.remove("run-0")
    before = await pair.records(Side.LEFT)

    answer = await pair.by(cramped(smtd, 400_000))

    assert (answer.code, answer.out) == (4, "")
    assert await pair.records(Side.LEFT) == before
    after = await pair.cycle()
    assert (after.ok, after.adopted, after.left.created) == (True, [], 5)
    assert await pair.labels(Side.LEFT) == await pair.labels(Side.RIGHT)
    assert "run-0" not in await pair.labels(Side.RIGHT)


async def test_closed_project_on_a_server_deletes_nothing(server: SumatraServer, tmp_path: Path) -> None:
    """The report says so, and whom to ask; neither side loses a record."""
    left = DjangoPlace(tmp_path / "left.sqlite")
    await left.put(*RECORDS[:2], project="Small")
    pair = await RealPair(tmp_path / "state", left, ServerPlace(server)).synced(RECORDS)
    server.run("DELETE FROM sumatra_server_projectpermission WHERE project_id = 'Small'")

    with pytest.raises(StoreRefused, match="denies this user access to project 'Small'; ask its owner"):
        await pair.cycle()

    assert len(left.forms()) == 6
    assert len(server.run("SELECT * FROM django_store_record")) == 6
