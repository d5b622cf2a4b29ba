"""A connection breaks at any statement of a cycle, before or after its effect; the next start converges."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.errors import StoreError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records import canonical
from smtd.stores import retrying
from smtd.stores.django import mysql, postgresql
from smtd.stores.django.driver import POSTGRESQL
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.engine.world import TestStore
from tests.servers.place import DatabasePlace, emptied, place_of
from tests.servers.server import DatabaseServer
from tests.stores.asking import scan_of

pytestmark = pytest.mark.halved

#: The statements at which it breaks: each, or some if time matters.
EVERY = 1 if os.environ.get("SMTD_SOAK") else 40
BEFORE = [full("merged"), record("edited"), record("gone"), full("left alone")]


class Line:
    """Breaks the connection of smtd at its *at*-th statement."""

    def __init__(self, at: int, when: str) -> None:
        self.left = at
        self.when = when

    async def say(self, statement: Any, cut: Any) -> Any:
        self.left -= 1
        if self.left == 0 and self.when == "before":
            cut()
            raise ConnectionResetError("cut")
        answer = await statement()
        if self.left == 0:
            cut()
            raise ConnectionResetError("cut")
        return answer


class Cut:
    """A driver's connection on a *line*."""

    def __init__(self, db: Any, line: Line) -> None:
        self._db = db
        self._line = line

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._db, name)
        if name not in ("execute", "fetch", "executemany"):
            return found
        return lambda *words: self._line.say(lambda: found(*words), self._db.terminate)


@contextmanager
def cut(place: DatabasePlace, line: Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put all connections of smtd on *line*."""
    with monkeypatch.context() as patch:
        patch.setattr(retrying, "ATTEMPTS", 1)
        if place.location.driver is POSTGRESQL:
            made = postgresql.PostgresqlConnection.__init__

            def on_line(self: Any, db: Any) -> None:
                made(self, Cut(db, line))

            patch.setattr(postgresql.PostgresqlConnection, "__init__", on_line)
        else:
            execute = mysql.MysqlConnection._execute

            async def said(self: Any, sql: str, parameters: Any, *, many: bool = False) -> Any:
                return await line.say(lambda: execute(self, sql, parameters, many=many), self._db.close)

            patch.setattr(mysql.MysqlConnection, "_execute", said)
        yield


async def run(directory: Path, left: TestStore, place: DatabasePlace) -> Any:
    """Run one cycle as a new process."""
    async with (
        place.open() as right,
        open_journal(directory) as journal,
        journal.pair("left", "right") as known,
    ):
        return await cycle.run(Pair("pair", Both(left, right), known, Policy()))


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.soak), "after"])
@pytest.mark.slow
async def test_cycle_after_a_broken_connection_converges(
    database_server: DatabaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It leaves what an undisturbed one would have left, and the one after it does nothing."""
    steps, failed = 1, 0
    while True:
        place, left = place_of(emptied(database_server)), TestStore("left")
        journal = tmp_path / f"journal-{steps}"
        for one in BEFORE:
            left.put(PROJECT, one)
        await run(journal, left, place)
        left.put(PROJECT, commented(tagged(BEFORE[0], "left"), "left"))
        await place.put(tagged(BEFORE[0], "right"))
        left.put(PROJECT, change(BEFORE[1], outcome="edited"))
        left.remove(PROJECT, "gone")
        left.put(PROJECT, full("new"))
        line = Line(steps, when)
        with cut(place, line, monkeypatch):
            try:
                await run(journal, left, place)
            except StoreError:
                failed += 1
        if line.left > 0:
            break

        report = await run(journal, left, place)
        last = await run(journal, left, place)

        scan = await scan_of(place)
        merged = commented(change(BEFORE[0], tags=BEFORE[0].tags | {"left", "right"}), "left")
        assert (report.conflicts, report.failed) == ([], []), steps
        assert scan.digests == {of: canonical.digest(one) for of, one in left.records.items()}, steps
        assert scan.digests[key("merged")] == canonical.digest(merged), steps
        assert set(scan.digests) == {key(name) for name in ("merged", "edited", "left alone", "new")}, steps
        assert (last.left.written, last.right.written) == (0, 0), steps
        steps += EVERY

    assert failed > 60 / EVERY
