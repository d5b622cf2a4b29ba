"""The kinds of store in stories."""

from __future__ import annotations

from pathlib import Path

from tests.peers.server import SumatraServer
from tests.servers.place import place_of
from tests.servers.server import DatabaseServer
from tests.stores.places import DjangoPlace, dumb_place, sqlite3_place
from tests.stores.server_place import ServerPlace
from tests.stories.scene import Making


def kinds(server: SumatraServer, *databases: DatabaseServer) -> dict[str, Making]:
    """Return how to create an empty store of each kind; there is one *server*, which is cleared for it."""

    def cleared(_home: Path) -> ServerPlace:
        server.clear()
        return ServerPlace(server)

    def in_database(database: DatabaseServer) -> Making:
        return lambda _home: place_of(database.new())

    return {
        "shelf": lambda home: dumb_place(home / "records"),
        "sqlite3 shelf": lambda home: sqlite3_place(home / "records"),
        "sqlite": lambda home: DjangoPlace(home / "records.sqlite"),
        "http": cleared,
        **{database.scheme: in_database(database) for database in databases},
    }
