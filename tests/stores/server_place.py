"""A Sumatra Server as the place of a store: used over HTTP, and inspected through its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from math import isfinite
from pathlib import Path
from string import ascii_letters, digits

import anyio

from smtd.records.record import Key, Parameters, Record, Repository
from smtd.stores.access import Access
from smtd.stores.base import Store
from smtd.stores.django.driver import SQLITE
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, change, record
from tests.peers.line import Fault, Line, line_to
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.places import DjangoPlace

#: What a label may contain, and how much text fits into one request.
LABELS = frozenset(f"{ascii_letters}{digits}_-.|")
LARGE = 1_400_000
#: How the server writes distributions, with the same meaning.
DISTRIBUTIONS = {
    "GammaDist(a=4.0, b=0.5)": "GammaDist(m=2.000000,s=1.000000)",
    "UniformDist(min=-1.0, max=1.0)": "UniformDist(min=-1.0,max=1.0)",
    "NormalDist(mean=0.5, std=0.25)": "NormalDist(mean=0.5,std=0.25)",
}
ADA = Access(username="ada", password=PASSWORD)


def by(line: Line) -> Location:
    """Return the location of ada's store for a client that reaches the server only through *line*."""
    return Location(HTTP, Path(), None, ADA, f"{line.url}/records/")


@asynccontextmanager
async def on_a_line(
    server: SumatraServer, faults: Mapping[int, Fault] | Fault | None = None
) -> AsyncIterator[tuple[Store, Line]]:
    """Open ada's store through a line to *server*, with *faults* by number of the request, or one for all."""
    async with line_to(server.root) as line:
        line.faults = dict.fromkeys(range(1, 1000), faults) if callable(faults) else dict(faults or {})
        async with open_store(by(line)) as store:
            yield store, line


class ServerPlace(DjangoPlace):
    """What the user ada sees of *server*, at *url*, which may lead to it indirectly."""

    unfit: tuple[Record, ...] = (
        record("unfit", repository=Repository("CvsRepository", "/code")),
        record("a label"),
        record("a/label"),
        record("permissions"),
        record("none", parameters=Parameters("NoneType", "None")),
        record("dict", parameters=Parameters("dict", "{'a': 1}")),
    )

    def __init__(self, server: SumatraServer, url: str = "") -> None:
        super().__init__(server.database)
        self.server = server
        self.direct = Location(HTTP, Path(), None, ADA, server.url)
        self.location = Location(HTTP, Path(), None, ADA, url or server.url)

    async def finished(self) -> None:
        """Wait until nothing was saved for a while: a PUT is many commits there."""
        before, now = None, self._counts()
        while before != now:
            await anyio.sleep(0.2)
            before, now = now, self._counts()

    def _counts(self) -> list[object]:
        tables = (
            "record",
            "datakey",
            "record_tags",
            "record_dependencies",
            "record_platforms",
            "record_input_data",
        )
        names = {row[0] for row in self.run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = [name for name in (f"django_store_{table}" for table in tables) if name in names]
        return [self.run(f"SELECT count(*), max(rowid) FROM {name}") for name in found]

    async def _write(self, keys: list[Key], records: Iterable[Record | None]) -> None:
        """Write into the database of the server, which would slowly make the same rows from a request."""
        here = self.location
        self.location = Location(SQLITE, self.path)
        try:
            await super()._write(keys, records)
        finally:
            self.location = here
        for project in {key.project for key in keys}:
            # In a thread, because smtd itself may have to run meanwhile.
            await anyio.to_thread.run_sync(self._let_ada_use, project)

    def _let_ada_use(self, project: str) -> None:
        """Give the server's first user a project without an owner."""
        self.run(
            "INSERT INTO sumatra_server_projectpermission (user_id, project_id) SELECT id, ?1"
            " FROM auth_user WHERE username = ?2 AND NOT EXISTS"
            " (SELECT 1 FROM sumatra_server_projectpermission WHERE project_id = ?1)",
            *(project, ADA.username),
        )

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self.put(record(label), project=project)
        self.run("INSERT INTO django_store_launchmode (type, parameters) VALUES ('NoSuchMode', '{}')")
        self.run(
            "UPDATE django_store_record SET launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
            " WHERE project_id = ? AND label = ?",
            *(project, label),
        )

    def double(self, label: str) -> None:
        """Create a second record of this label, as two programs do that PUT one at once."""
        columns = "label, timestamp, reason, duration, executable_id, repository_id, main_file, version,"
        columns += " parameters_id, script_arguments, launch_mode_id, datastore_id, input_datastore_id,"
        columns += " outcome, project_id, tags, diff, user, stdout_stderr, repeats"
        self.run(
            f"INSERT INTO django_store_record ({columns}) SELECT {columns} FROM django_store_record"
            " WHERE label = ?",
            label,
        )

    def fits(self, record: Record) -> bool:
        """Say what Sumatra Server 0.3 accepts and returns; sumatra_server/test_contract.py has the rest."""
        return not (
            set(record.label) - LABELS
            or record.launch_mode.type in ("DistributedLaunchMode", "SlurmMPILaunchMode")
            or record.parameters.type in ("NoneType", "dict", "str")
            # The server changes such texts, and cannot read some of the results.
            or (
                record.parameters.type == "SimpleParameterSet"
                and set(record.parameters.content) & {"\\", "("}
            )
            or any(not machine.ip_addr for machine in record.platforms)
            or (record.duration is not None and not isfinite(record.duration))
            or len(record.stdout_stderr or "") > LARGE
        )

    def files(self) -> dict[str, bytes]:
        return {str(key): repr(form).encode() for key, form in self.forms().items()}

    def kept(self, record: Record) -> Record:
        kept = whole_seconds(super().kept(record))
        text = kept.parameters.content
        for made, written in DISTRIBUTIONS.items():
            text = text.replace(made, written)
        return change(kept, parameters=Parameters(kept.parameters.type, text))


def whole_seconds(record: Record) -> Record:
    """Return *record* with the times as the server returns them."""
    return change(
        record,
        timestamp=record.timestamp.replace(microsecond=0),
        **{
            field: tuple(
                change(key, creation=key.creation and key.creation.replace(microsecond=0))
                for key in getattr(record, field)
            )
            for field in ("input_data", "output_data")
        },
    )
