"""A store that is tracked by its index gives what a look at everything shows, whatever others commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smtd import sqlite as sqlite_connection
from smtd.stores.base import Scan
from smtd.stores.django import block_reader, blocks, sqlite
from smtd.stores.django.file_tracker import FileTracker
from smtd.stores.django.reader import EncodedRow
from smtd.stores.index import Recheck
from tests.build import commented, full, key, record, tagged
from tests.sampling import SOAK
from tests.stores.places import DjangoPlace
from tests.stores.tracked import tracked

pytestmark = pytest.mark.halved

RECORDS = [full("full-1"), record("plain-1"), tagged(record("plain-2"), "a tag"), record("plain-3")]
#: What another program does and reverts: an edit, a tag, another label, a deletion.
DEEDS = {
    "edit": (
        "UPDATE django_store_record SET outcome = 'typo' WHERE label = 'plain-1'",
        "UPDATE django_store_record SET outcome = '' WHERE label = 'plain-1'",
    ),
    "tag": (
        "UPDATE django_store_tag SET name = name || '!'",
        "UPDATE django_store_tag SET name = rtrim(name, '!')",
    ),
    "label": (
        "UPDATE django_store_record SET label = 'other' WHERE label = 'plain-1'",
        "UPDATE django_store_record SET label = 'plain-1' WHERE label = 'other'",
    ),
    "shared": (
        "UPDATE django_store_executable SET version = version || '!'",
        "UPDATE django_store_executable SET version = rtrim(version, '!')",
    ),
    "link": (
        "INSERT INTO django_store_record_dependencies (id, record_id, dependency_id)"
        " SELECT 99999, r.db_id, d.id FROM django_store_record r, django_store_dependency d"
        " WHERE r.label = 'plain-1' LIMIT 1",
        "DELETE FROM django_store_record_dependencies WHERE id = 99999",
    ),
    "unlink": (
        "UPDATE django_store_taggeditem SET object_id = object_id + 9000 WHERE object_id < 9000",
        "UPDATE django_store_taggeditem SET object_id = object_id - 9000 WHERE object_id > 9000",
    ),
}

#: `make test` tries every so many statements of a look, beginning at another one for each deed.
EVERY = 1 if SOAK else 2 * len(DEEDS)


@pytest.fixture
async def place(tmp_path, monkeypatch) -> DjangoPlace:
    """A store whose readers block no commits."""
    monkeypatch.setattr(sqlite, "QUIET", 1e-9)  # do not wait for a moment in which no program writes
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(*RECORDS)
    place.run("PRAGMA journal_mode = wal")
    return place


class Meanwhile:
    """Makes another program run *statement* before the statement of a store with the number *at*."""

    def __init__(self, run: Callable[[str], Any]) -> None:
        self._run = run
        self.statement: str | None = None
        self.at = 0

    def step(self) -> None:
        self.at -= 1
        if self.at < 0 and self.statement is not None:
            statement, self.statement = self.statement, None
            self._run(statement)


@pytest.fixture
def meanwhile(place, monkeypatch) -> Meanwhile:
    """What happens between two statements of the store; the journal's own do not count."""
    others = Meanwhile(place.run)
    rows, of_blocks = sqlite_connection._rows, block_reader._fetch

    def fetched(db: Any, *words: Any) -> Any:
        if "django_store" in words[0] or "data_version" in words[0]:
            others.step()
        return rows(db, *words)

    def fetched_in_its_thread(*words: Any) -> Any:
        others.step()
        return of_blocks(*words)

    monkeypatch.setattr(sqlite_connection, "_rows", fetched)
    monkeypatch.setattr(block_reader, "_fetch", fetched_in_its_thread)
    return others


async def whole(place: DjangoPlace) -> Scan:
    """Return what a store shows that has never been looked at."""
    async with place.open() as store:
        found: Scan = await store.scan()
        return found


async def look(place: DjangoPlace) -> Scan:
    """Look at the store, as a process does that has only the index."""
    async with tracked(place) as store:
        return await store.scan()


@pytest.mark.parametrize("first", [True, False], ids=["the first look", "a later look"])
@pytest.mark.parametrize("deed", DEEDS)
async def test_commit_before_any_statement_of_a_look_is_seen(place, meanwhile, deed, first):
    """It is reverted after the look, so that the rows are as at its beginning."""
    do, undo = DEEDS[deed]
    tried = (2 * [*DEEDS].index(deed) + first) % EVERY
    while True:
        state = place.location.path.with_name("records.sqlite.state")
        if first and state.exists():
            state.rename(state.with_name(f"state-{tried}"))
        elif not first:
            await look(place)
            await place.put(commented(RECORDS[3], f"edit {tried}"))
        meanwhile.statement, meanwhile.at = do, tried
        await look(place)
        if meanwhile.statement is not None:  # there are no more statements
            meanwhile.statement = None
            break
        during = await look(place)
        assert during == await whole(place), f"after statement {tried}"
        place.run(undo)

        assert await look(place) == await whole(place), f"taken back after statement {tried}"
        tried += EVERY
    assert tried > 20


@pytest.mark.parametrize("deed", DEEDS)
async def test_commit_during_a_look_is_seen_though_it_is_reverted(place, meanwhile, deed, monkeypatch):
    """Beside a steady writer: a record was read in a passing state, and the rows equal those compared."""
    do, undo = DEEDS[deed]
    await look(place)
    monkeypatch.setattr(sqlite.SqliteFile, "is_undisturbed", always(False))
    tried = [*DEEDS].index(deed) % EVERY
    while True:
        await place.put(commented(RECORDS[3], f"edit {tried}"))
        meanwhile.statement, meanwhile.at = do, tried
        await look(place)
        if meanwhile.statement is not None:  # there are no more statements
            meanwhile.statement = None
            break
        place.run(undo)

        assert await look(place) == await whole(place), f"after statement {tried}"
        tried += EVERY
    assert tried > 40


async def test_looks_beside_a_steady_writer_read_only_changes(place, monkeypatch):
    """The store is never quiet; what one look has read the next one does not read again."""
    await place.put(*[record(f"more-{number:04}") for number in range(1500)])
    await look(place)
    monkeypatch.setattr(sqlite.SqliteFile, "is_undisturbed", always(False))
    read = []
    understood = FileTracker._decoded

    def counted(tracker: FileTracker, raw: EncodedRow) -> Any:
        read.append(raw)
        return understood(tracker, raw)

    monkeypatch.setattr(FileTracker, "_decoded", counted)
    counts = []
    for number in range(0, 1500, 150):
        await place.put(commented(record(f"more-{number:04}"), "an edit"))
        await look(place)
        counts.append(len(read))
        read.clear()
    await look(place)

    assert min(counts) > 0
    assert max(counts) <= 2 * 128
    assert read == []
    assert await look(place) == await whole(place)


async def test_own_writes_beside_a_steady_writer_are_read_once(place, monkeypatch):
    await look(place)
    monkeypatch.setattr(sqlite.SqliteFile, "is_undisturbed", always(False))
    async with tracked(place) as store:
        await store.scan()
        await store._index.unlist([key("plain-1"), key("plain-2")])
        before = await store._index.unlisted()
        await store.scan()

        assert (len(before), await store._index.unlisted()) == (2, set())


def always(answer: bool) -> Callable[..., Any]:
    async def answered(*_: object) -> bool:
        return answer

    return answered


async def test_commit_while_an_unchanged_record_is_read_is_seen(place, meanwhile):
    """A rechecked record had another state at that moment; its rows are as before."""
    do, undo = DEEDS["label"]
    await look(place)
    tried = 0
    while True:
        meanwhile.statement, meanwhile.at = do, tried
        async with tracked(place) as store:
            found = await store.track(store._index, Recheck([key("plain-1")]))
            if meanwhile.statement is not None:  # there are no more statements
                meanwhile.statement = None
                break
            place.run(undo)
            await store._index.update_rows(found, await store.token())

        assert await look(place) == await whole(place), f"after statement {tried}"
        tried += EVERY
    assert tried > 20


async def test_look_of_another_process_during_a_look_is_not_undone(place):
    """The first look has read a record before a program tagged it; the second one has seen the tag."""
    await look(place)
    await place.put(commented(RECORDS[1], "edit"))
    async with tracked(place, "one") as one, tracked(place, "two") as two:
        since = await one._index.cursor()
        found = await one.track(one._index)
        token = await one.token()
        place.run(DEEDS["tag"][0])
        await two.scan()
        await one._index.update_rows(found, token, since=since)

    assert await look(place) == await whole(place)


async def test_look_interrupted_at_any_statement_hides_no_change(place, meanwhile, monkeypatch):
    """The next one finds all that it had found."""

    class CutOff(Exception):
        """The process ended here."""

    def cut_off(_statement: str) -> None:
        raise CutOff

    meanwhile._run = cut_off
    await look(place)
    tried = 0
    while True:
        await place.put(commented(RECORDS[3], f"edit {tried}"))
        meanwhile.statement, meanwhile.at = "", tried
        try:
            await look(place)
        except CutOff:
            assert await look(place) == await whole(place), f"cut off before statement {tried}"
            tried += EVERY
        else:
            break
    assert tried > 10


async def test_row_that_gets_another_key_leaves_its_twin(place):
    """One of two rows with one label gets another label, and that of another record; then it is deleted."""
    await look(place)
    shown = []
    for statement in (
        "UPDATE django_store_record SET label = 'plain-2' WHERE label = 'plain-1'",
        "UPDATE django_store_record SET label = 'plain-4' WHERE label = 'plain-2' AND db_id = 2",
        "UPDATE django_store_record SET label = 'plain-3', outcome = '' WHERE label = 'plain-4'",
        "DELETE FROM django_store_record WHERE label = 'plain-3' AND db_id = 2",
    ):
        place.run(statement)
        shown.append(await look(place))
        assert shown[-1] == await whole(place), statement

    assert [len(each.digests) + len(each.unreadable) for each in shown] == [3, 4, 3, 3]


async def test_row_that_moves_to_another_project_leaves_its_old_one(place):
    await look(place)
    place.run("INSERT INTO django_store_project VALUES ('Other', 'Other', '')")
    place.run("UPDATE django_store_record SET project_id = 'Other' WHERE label = 'plain-1'")

    moved, expected = await look(place), await whole(place)
    place.run("UPDATE django_store_record SET project_id = 'MyProject' WHERE label = 'plain-1'")

    assert moved == expected
    assert {key("plain-1", "Other"), key("plain-1")} & moved.digests.keys() == {key("plain-1", "Other")}
    assert await look(place) == await whole(place)


async def test_exchanged_file_is_tracked_from_then_on(place, tmp_path):
    """Its rows have the same numbers, but other records."""
    await look(place)
    other = DjangoPlace(tmp_path / "other.sqlite")
    await other.put(record("plain-3"), commented(RECORDS[1], "another"), record("new"))
    other.location.path.rename(place.location.path)
    for ending in ("-wal", "-shm"):
        place.location.path.with_name(place.location.path.name + ending).unlink(missing_ok=True)

    assert await look(place) == await whole(place)


async def test_fingerprints_of_another_smtd_are_not_compared(place, monkeypatch):
    """It looked at other tables: smtd looks at everything once, and then tracks changes."""
    with monkeypatch.context() as another:
        another.setattr(blocks, "SCHEME", "another one")
        await look(place)
    place.run("UPDATE django_store_record SET outcome = 'seen' WHERE label = 'plain-1'")

    first, second = await look(place), await look(place)

    assert first == second == await whole(place)
    assert (first.changes, second.changes is None) == (None, False)


async def test_record_that_leaves_a_changed_shared_row_briefly_is_read(place, meanwhile, monkeypatch):
    """Beside a steady writer: after the look it uses that row again, and its own row is as before."""
    await look(place)
    monkeypatch.setattr(sqlite.SqliteFile, "is_undisturbed", always(False))
    for tried in range(8, 32, 4):
        place.run("UPDATE django_store_executable SET version = version || '!'")
        meanwhile.at = tried
        meanwhile.statement = "UPDATE django_store_record SET executable_id = executable_id + 7000"
        await look(place)
        place.run("UPDATE django_store_record SET executable_id = executable_id - 7000")

        assert await look(place) == await whole(place), f"after statement {tried}"
