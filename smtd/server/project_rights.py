"""The rights in single projects of a served store, for `smtd user`. Every function blocks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio

from smtd.server.accounts import right_table
from smtd.server.accounts.rights import Right
from smtd.server.opening import open_backend
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.location import Location

T = TypeVar("T")


class ProjectRights(Protocol):
    """The rights; a running server notices changes at once. Methods raise StoreError."""

    def all(self) -> list[tuple[str, str, str]]:
        """Return project, username and level of all rights; a store that was never served has none."""

    def check_project(self, project: str) -> None:
        """Raise UsageError if there is no *project*, or smtd has never served the store."""

    def set(self, project: str, username: str, right: Right) -> None:
        """Give a user *right* in *project*, in place of any other right there; NONE removes the right.

        Raises UsageError as `check_project` does, for NONE only if smtd has never served the store.
        """

    def remove_user(self, username: str) -> None:
        """Remove all rights of a user in single projects."""


def of_store(store: Path | Location) -> ProjectRights:
    """Return the rights in the SQLite file *store*, or in the database on a server there."""
    return _FileRights(store) if isinstance(store, Path) else _DatabaseRights(store)


class _FileRights:
    """The rights in the SQLite file *file*."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> list[tuple[str, str, str]]:
        return right_table.rights_in(self._file)

    def check_project(self, project: str) -> None:
        right_table.check_project(self._file, project)

    def set(self, project: str, username: str, right: Right) -> None:
        right_table.set_right(self._file, project, username, right)

    def remove_user(self, username: str) -> None:
        right_table.remove_user(self._file, username)


class _DatabaseRights:
    """The rights in the database at *location*. Changes get a number, by which all servers notice them."""

    def __init__(self, location: Location) -> None:
        self._location = location

    def all(self) -> list[tuple[str, str, str]]:
        async def read(db: DatabaseConnection) -> list[tuple[str, str, str]]:
            found = await db.fetch("SELECT project, username, level FROM smtd_right")
            return sorted((str(project), str(user), str(level)) for project, user, level in found)

        return self._read(read) or []

    def check_project(self, project: str) -> None:
        if self._read(partial(_check_project, project, self._location)) is None:
            raise right_table.never_served(str(self._location))

    def set(self, project: str, username: str, right: Right) -> None:
        async def change(db: DatabaseConnection) -> None:
            if right is not Right.NONE:
                await _check_project(project, self._location, db)
            which = (project, username)
            await db.run("DELETE FROM smtd_right WHERE project = ? AND username = ?", which)
            if right is not Right.NONE:
                insert = "INSERT INTO smtd_right (project, username, level) VALUES (?, ?, ?)"
                await db.run(insert, (*which, right.word))

        if not self._write(change):
            raise right_table.never_served(str(self._location))

    def remove_user(self, username: str) -> None:
        self._write(lambda db: db.run("DELETE FROM smtd_right WHERE username = ?", (username,)))

    def _read(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T | None:
        """Return what *work* returns; None if smtd has never served the database."""

        async def run() -> T | None:
            async with open_backend(self._location, str(self._location), create=False) as backend:
                return None if backend is None else await backend.read(work)

        return anyio.run(run)

    def _write(self, change: Callable[[DatabaseConnection], Coroutine[Any, Any, Any]]) -> bool:
        """Make *change* in a transaction of the log; return False if smtd has never served the database."""

        async def run() -> bool:
            async with open_backend(self._location, str(self._location), create=False) as backend:
                if backend is None:
                    return False

                async def transact(db: DatabaseConnection) -> None:
                    async with backend.writing(db):
                        head = await backend.lock_head(db)
                        await change(db)
                        await backend.save_head(db, head.seq + 1, changes_access=True)

                await backend.read(transact)
                return True

        return anyio.run(run)


async def _check_project(project: str, location: Location, db: DatabaseConnection) -> bool:
    known = [str(name) for (name,) in await db.fetch("SELECT id FROM django_store_project")]
    if project not in known:
        raise right_table.no_project(project, known, str(location))
    return True
