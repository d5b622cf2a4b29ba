"""PostgreSQL for the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from smtd.stores.django import schema
from smtd.stores.django.postgresql import said
from tests.servers import programs
from tests.servers.process import PATIENCE, certificate, free_port, reachable, run, serving, workplace
from tests.servers.server import PASSWORD, TEMPLATE, USER, DatabaseServer, Statement, elsewhere


class Connected:
    """A connection."""

    def __init__(self, db: Any) -> None:
        self._db = db

    async def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement, and return its rows."""
        return [tuple(row) for row in await self._db.fetch(said(statement), *values)]

    async def close(self) -> None:
        """Close the connection."""
        await self._db.close()


async def connect(port: int, database: str) -> Connected:
    """Connect to *database*, or to no database."""
    return Connected(
        await asyncpg.connect(
            host="127.0.0.1",
            port=port,
            user=USER,
            password=PASSWORD,
            database=database or "postgres",
            ssl="disable",
            statement_cache_size=0,  # tables change between two statements
        )
    )


def _making(name: str, empty: bool) -> list[Statement]:
    return [(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {TEMPLATE}"), ())]


@contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """Run a server of PostgreSQL. Raises NoServer."""
    with workplace() as data:
        found = programs.postgresql()
        # A wheel has its libraries beside the package.
        above = next((up for up in found.parents if up.name == "site-packages"), found.parent)
        bin = reachable(found, above, data)
        secret = data.parent / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        files = data / "pg"
        authentication = ["-A", "md5", f"--pwfile={secret}", "-U", USER]
        run([bin / "initdb", "-D", files, *authentication, "-E", "UTF8", "--locale=C", "--no-sync"])
        port = free_port()
        careless = (
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_wal_size=4GB",
            "wal_writer_delay=10ms",
            # It would inspect each of hundreds of databases, one after the other, all the time.
            "autovacuum=off",
        )
        options = [word for option in careless for word in ("-c", option)]
        listening = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(data)]
        proof = certificate(data)
        secured = [f"--ssl_cert_file={proof.chain}", f"--ssl_key_file={proof.key}"]
        command: list[str | Path] = [bin / "postgres", "-D", files, *listening, *options, *secured]
        with ExitStack() as running:

            def start() -> None:
                program = serving(command, lambda: _accepts(port), data.parent / "log")
                running.enter_context(program)

            start()
            server = DatabaseServer("postgresql", port, proof.authority, connect, _making)

            def crash() -> None:
                note = files / "postmaster.pid"
                os.kill(int(note.read_text("ascii").split()[0]), signal.SIGQUIT)
                deadline = time.monotonic() + PATIENCE
                while note.exists() and time.monotonic() < deadline:
                    time.sleep(0.01)  # until all its processes have ended
                running.close()

            server.start, server.crash = start, crash
            elsewhere(server.ask("", [(f"CREATE DATABASE {TEMPLATE}", ())]))
            elsewhere(server.ask(TEMPLATE, schema.creation("postgresql")))
            yield server
            elsewhere(server.part())


def _accepts(port: int) -> bool:
    try:
        elsewhere(_tried(port))
    except (OSError, asyncpg.PostgresError):
        return False
    return True


async def _tried(port: int) -> None:
    await (await connect(port, "")).close()
