"""`smtd serve` on a database server when the connection breaks in the moment of a commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.server.server_settings import ServerSettings
from smtd.stores.discovery import find
from smtd.stores.django import mysql, postgresql
from tests.build import PROJECT, record
from tests.server.served import serving
from tests.server.streams import streaming
from tests.servers.served import new_store
from tests.servers.server import DatabaseServer

pytestmark = pytest.mark.halved

LISTED = f"records/{PROJECT}/"


class CutAtCommit:
    """A driver's connection; it breaks before or after the commit of the next write, if *armed* says so."""

    def __init__(self, db: Any, armed: list[str]) -> None:
        self._db = db
        self._armed = armed
        self._writes = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._db, name)
        if name != "execute":
            return found

        async def execute(sql: str, *values: Any) -> Any:
            if sql.startswith("BEGIN"):
                self._writes = "LOCK TABLE" in sql
            when = self._armed.pop() if sql == "COMMIT" and self._writes and self._armed else ""
            if when != "before":
                answer = await found(sql, *values)
            if when:
                self._db.terminate()
                raise ConnectionResetError("cut")
            return answer

        return execute


def cut_postgresql(monkeypatch: pytest.MonkeyPatch, armed: list[str]) -> None:
    """Cut connections of PostgreSQL as *armed* says."""
    made = postgresql.PostgresqlConnection.__init__
    monkeypatch.setattr(
        postgresql.PostgresqlConnection,
        "__init__",
        lambda self, db: made(self, CutAtCommit(db, armed)),
    )


def cut_mariadb(monkeypatch: pytest.MonkeyPatch, armed: list[str]) -> None:
    """Cut connections of MariaDB as *armed* says."""
    execute = mysql.MysqlConnection._execute

    async def cut(self: Any, sql: str, parameters: Any, *, many: bool = False) -> Any:
        when = armed.pop() if sql == "COMMIT" and self.exclusive and armed else ""
        answer = [] if when == "before" else await execute(self, sql, parameters, many=many)
        if when:
            self.raw.close()
            raise ConnectionResetError("cut")
        return answer

    monkeypatch.setattr(mysql.MysqlConnection, "_execute", cut)


CUT = {"postgresql": cut_postgresql, "mariadb": cut_mariadb}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_write_whose_commit_got_no_answer_is_not_acknowledged(
    database_server: DatabaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A repeat is safe, and the feed has the record once, whether it was committed or not."""
    armed: list[str] = []
    CUT[database_server.scheme](monkeypatch, armed)
    database = await to_thread.run_sync(new_store, database_server)
    async with serving(tmp_path, ServerSettings(find(database.url))) as server:
        ada = server.ada
        await ada.make()
        async with streaming(ada) as stream:
            await stream.block()
            armed.append(when)
            lost = await ada.put(record("one"))
            is_there = (await ada.get(f"{LISTED}one/")).status == 200
            again = await ada.put(record("one"))
            await ada.put(record("two"))
            with anyio.fail_after(20):
                found = [change["label"] for change in await stream.changes(2)]

        assert (lost.status, "try again" in lost.json["error"]) == (503, True)
        assert (is_there, again.status) == ((True, 200) if when == "after" else (False, 201))
        assert found == ["one", "two"]
        assert len((await ada.get(LISTED)).json["records"]) == 2
