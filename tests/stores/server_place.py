"""A Sumatra Server as a place of a store: asked over HTTP, and looked into by its database."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from smtd.records.record import Key, Parameters, Record, Repository
from smtd.stores.locations import Access, Kind, Location
from tests.build import PROJECT, change, record
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.places import DjangoPlace

ADA = Access(username="ada", password=PASSWORD)


class ServerPlace(DjangoPlace):
    """What the user ada sees of *server*, at *url*, which may lead to it by a detour."""

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
        self.direct = Location(Kind.HTTP, Path(), None, ADA, server.url)
        self.location = Location(Kind.HTTP, Path(), None, ADA, url or server.url)

    async def _write(self, keys: list[Key], records: Iterable[Record | None]) -> None:
        here = self.location
        self.location = self.direct
        try:
            await super()._write(keys, records)
        finally:
            self.location = here

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self.put(record(label), project=project)
        self.run("INSERT INTO django_store_parameterset (type, content) VALUES ('NoSuchSet', 'a = 1')")
        self.run(
            "UPDATE django_store_record SET parameters_id = (SELECT max(id) FROM django_store_parameterset)"
            " WHERE project_id = ? AND label = ?",
            *(project, label),
        )

    def files(self) -> dict[str, bytes]:
        return {str(key): repr(form).encode() for key, form in self.forms().items()}

    def kept(self, record: Record) -> Record:
        return whole_seconds(super().kept(record))


def whole_seconds(record: Record) -> Record:
    """Return what the server gives back of the times in *record*."""
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
