"""The rights in single projects of a served store, for `smtd user`. Every method blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import anyio

from smtd import denied
from smtd.errors import StoreUnreachable, UsageError
from smtd.server.accounts.rights import Right
from smtd.server.opening import open_backend
from smtd.spelling import did_you_mean
from smtd.sqlite import ERRORS, connect, store_error
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.location import Location

T = TypeVar("T")
_Work: TypeAlias = Callable[[DatabaseConnection], Coroutine[Any, Any, T]]


class ProjectRights:
    """The rights in *store*: an SQLite file, or a database on a server. Methods raise StoreError.

    A running server notices changes at once: in a file by the change itself, in a database by its number.
    """

    def __init__(self, store: Path | Location) -> None:
        self._store = store

    def all(self) -> list[tuple[str, str, str]]:
        """Return project, username and level of all rights; a store that was never served has none."""

        async def read(db: DatabaseConnection) -> list[tuple[str, str, str]]:
            found = await db.fetch("SELECT project, username, level FROM smtd_right")
            rights = [(str(project), str(user), str(level)) for project, user, level in found]
            return sorted(rights, key=lambda right: (right[1], right[0]))

        return self._run(read, writes=False) or []

    def check_project(self, project: str) -> None:
        """Raise UsageError if there is no *project* (it names the likely one), or smtd never served it."""
        self._run_served(partial(self._check_project, project), writes=False)

    def set(self, project: str, username: str, right: Right) -> None:
        """Give a user *right* in *project*, in place of any other right there; NONE removes the right.

        Raises UsageError as `check_project` does, for NONE only if smtd has never served the store.
        """

        async def change(db: DatabaseConnection) -> bool:
            if right is not Right.NONE:
                await self._check_project(project, db)
            which = (project, username)
            await db.run("DELETE FROM smtd_right WHERE project = ? AND username = ?", which)
            if right is not Right.NONE:
                insert = "INSERT INTO smtd_right (project, username, level) VALUES (?, ?, ?)"
                await db.run(insert, (*which, right.word))
            return True

        self._run_served(change, writes=True)

    def remove_user(self, username: str) -> None:
        """Remove all rights of a user in single projects."""
        delete = "DELETE FROM smtd_right WHERE username = ?"
        self._run(lambda db: db.run(delete, (username,)), writes=True)

    async def _check_project(self, project: str, db: DatabaseConnection) -> bool:
        known = [str(name) for (name,) in await db.fetch("SELECT id FROM django_store_project")]
        if project not in known:
            hint = did_you_mean(project, known, f"smtd list {self._store} shows its projects")
            raise UsageError(f"there is no project {project!r} in {self._store}{hint}")
        return True

    def _run_served(self, work: _Work[bool], *, writes: bool) -> None:
        if self._run(work, writes=writes) is None:
            raise UsageError(f"smtd has not served {self._store} yet; run smtd serve first")

    def _run(self, work: _Work[T], *, writes: bool) -> T | None:
        """Return what *work* returns, in a transaction; None if smtd has never served the store."""
        if not isinstance(self._store, Path):
            return anyio.run(partial(_in_database, self._store, work, writes=writes))
        try:
            os.stat(self._store)  # else it would be made
            return anyio.run(partial(_in_file, self._store, work, writes=writes))
        except OSError as exc:
            raise StoreUnreachable(f"{self._store} cannot be used: {denied.why(exc)}") from exc
        except ERRORS as exc:
            raise store_error(exc, str(self._store)) from exc


async def _in_file(path: Path, work: _Work[T], *, writes: bool) -> T | None:
    async with connect(str(path)) as db:
        if not await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_right'"):
            return None
        async with db.writing() if writes else db.reading():
            return await work(db)


async def _in_database(location: Location, work: _Work[T], *, writes: bool) -> T | None:
    async with open_backend(location, str(location), create=False) as backend:
        if backend is None:
            return None

        async def numbered(db: DatabaseConnection) -> T:
            async with backend.writing(db):
                head = await backend.lock_head(db)
                found = await work(db)
                await backend.save_head(db, head.seq + 1, changes_access=True)
                return found

        return await backend.read(numbered if writes else work)
