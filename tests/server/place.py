"""smtd's own server as a place of a store, which a client that knows no feed asks over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from anyio import to_thread

from smtd.records.record import Key, Record
from smtd.stores.access import Access
from smtd.stores.base import Store
from smtd.stores.django.driver import SQLITE
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, record
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD, login
from tests.stores.places import DjangoPlace
from tests.stores.server_place import ServerPlace, whole_seconds

#: Seconds that the server may take to notice what others wrote.
PATIENCE = 20.0


def by_http(server: ServerProcess) -> Location:
    """Return where the store of *server* is for an admin on another machine."""
    access = Access(username="root", password=PASSWORD)
    return Location(HTTP, Path(), None, access, f"{server.root}records/")


class ServedPlace(DjangoPlace):
    """What an admin sees of *server*."""

    unfit = ServerPlace.unfit

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(server.store)
        self.location = by_http(server)

    @property
    def direct(self) -> Location:
        """Where the store of the server is for another program on its machine."""
        return Location(SQLITE, self.path)

    def beside(self) -> AbstractAsyncContextManager[Store]:
        """Open the file of the server, as another smtd on its machine would."""
        return open_store(self.direct)

    async def _write(self, keys: list[Key], records: Iterable[Record | None]) -> None:
        """Write into the database of the server, and wait until that has noticed."""
        here = self.location
        self.location = self.direct
        try:
            await super()._write(keys, records)
        finally:
            self.location = here
        await to_thread.run_sync(self.noticed)

    def noticed(self) -> None:
        """Wait until the server has entered all that others wrote."""
        deadline = time.monotonic() + PATIENCE
        while self.run("SELECT 1 FROM smtd_dirty LIMIT 1"):
            assert time.monotonic() < deadline, "the server does not notice"
            time.sleep(0.01)

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self.put(record(label), project=project)
        await to_thread.run_sync(self._spoil, label, project)
        await to_thread.run_sync(self.noticed)

    def _spoil(self, label: str, project: str) -> None:
        self.run("INSERT INTO django_store_launchmode (type, parameters) VALUES ('NoSuchMode', 'x()')")
        self.run(
            "UPDATE django_store_record SET launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
            " WHERE project_id = ? AND label = ?",
            *(project, label),
        )

    def clear(self) -> None:
        """Delete every project, as their owner can."""
        found = urlsplit(self.location.url)
        delete_projects(HTTPConnection(found.hostname or "", found.port, timeout=30))

    def fits(self, record: Record) -> bool:
        """Say what a client that knows no other server takes for something that this one can keep."""
        return not (
            record.label != quote(record.label, safe="|")
            or record.parameters.type in ("NoneType", "dict", "str")
            or any(not machine.ip_addr for machine in record.platforms)
            or (record.duration is not None and abs(record.duration) == float("inf"))
        )

    def files(self) -> dict[str, bytes]:
        return {str(key): repr(form).encode() for key, form in self.forms().items()}

    def kept(self, record: Record) -> Record:
        return whole_seconds(super().kept(record))


def delete_projects(connection: HTTPConnection) -> None:
    """Delete every project of the server that *connection* leads to, and close the connection."""
    connection.request("GET", "/records/", headers=login("root"))
    for project in json.loads(connection.getresponse().read()):
        connection.request("DELETE", f"/records/{quote(project['id'], safe='')}/", headers=login("root"))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (204, b"")
    connection.close()
