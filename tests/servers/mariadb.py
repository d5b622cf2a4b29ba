"""MariaDB for the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncmy
from asyncmy.errors import MySQLError

from smtd.stores.django import schema
from smtd.stores.django.mysql import said
from tests.servers import programs
from tests.servers.process import certificate, free_port, reachable, run, serving, workplace
from tests.servers.server import PASSWORD, USER, DatabaseServer, Statement, elsewhere

#: The server's own tables, for example of users.
_SYSTEM = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
#: Its files need not survive the tests.
_CARELESS = (
    *("flush-method=nosync", "flush-log-at-trx-commit=0", "doublewrite=0"),
    *("log-file-size=32M", "buffer-pool-size=64M", "file-per-table=0"),
)
_QUOTES = ("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'", ())


class Connected:
    """A connection."""

    def __init__(self, db: Any) -> None:
        self._db = db

    async def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement, and return its rows."""
        async with self._db.cursor() as cursor:
            await cursor.execute(said(statement), tuple(values) or None)
            return [tuple(row) for row in await cursor.fetchall()] if cursor.description else []

    async def close(self) -> None:
        """Close the connection."""
        await self._db.ensure_closed()


async def connect(port: int, database: str) -> Connected:
    """Connect to *database*, or to no database."""
    made = Connected(
        await asyncmy.connect(
            host="127.0.0.1", port=port, user=USER, password=PASSWORD, database=database, autocommit=True
        )
    )
    await made.rows(*_QUOTES)
    return made


@contextmanager
def mariadb(*more: str) -> Iterator[DatabaseServer]:
    """Run a server of MariaDB, with *more* options. Raises NoServer."""
    with workplace() as data:
        found = programs.mariadb()
        root = reachable(found, found, data)
        libraries = [str(path) for path in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"))]
        env = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)} if root != Path("/") else None
        (program, *_) = [*root.glob("usr/sbin/mariadbd"), *root.glob("usr/bin/mariadbd")]
        share = root / "usr/share/mysql"
        files = data / "files"
        where: list[str | Path] = [program, "--no-defaults", f"--datadir={files}", f"--tmpdir={data}"]
        where += [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"]
        where += [f"--innodb-{option}" for option in _CARELESS]
        run(["mkdir", files])
        run([*where, "--bootstrap"], text=_system(share), env=env)
        port = free_port()
        listening = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={data / 'socket'}"]
        collation = ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        proof = certificate(data)
        secured = [f"--ssl-cert={proof.chain}", f"--ssl-key={proof.key}"]
        options = [f"--{option}" for option in more]
        command = [*where, *listening, *collation, *secured, "--plugin-dir=/nonexistent", *options]
        tables: list[Statement] = [*schema.creation("mysql")]

        def making(name: str, empty: bool) -> list[Statement]:
            return [(f"CREATE DATABASE {name}", ()), (f"USE {name}", ()), *([] if empty else tables)]

        with ExitStack() as running:

            def start() -> None:
                running.enter_context(serving(command, lambda: _accepts(port), data.parent / "log", env))

            start()
            server = DatabaseServer("mariadb", port, proof.authority, connect, making, running.close, start)
            yield server
            elsewhere(server.part())


def _system(share: Path) -> str:
    """Return the statements that create a server's own tables, and the user of the tests."""
    tables = "\n".join((share / name).read_text("utf-8") for name in _SYSTEM)
    user = f"'{USER}'@'%'"
    return (
        f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}\nFLUSH PRIVILEGES;\n"
        f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n"
    )


def _accepts(port: int) -> bool:
    try:
        elsewhere(_tried(port))
    except (OSError, MySQLError):
        return False
    return True


async def _tried(port: int) -> None:
    await (await connect(port, "")).close()
