"""A database on a server as the place of a store."""

from __future__ import annotations

from typing import Any

from smtd.records.record import DataKey, Key, Platform, Record
from smtd.stores.discovery import find
from tests.build import MOMENT, full, record
from tests.servers.server import Database, DatabaseServer
from tests.stores.places import OWNED, DjangoPlace

#: Values that the columns cannot hold, by the field in the message.
TOO_LONG: dict[str, Record] = {
    "label": record("l" * 101),
    "main_file": record("main", main_file="m" * 101),
    "version": record("version", version="v" * 51),
    "user": record("user", user="é" * 101),
    "tags": record("tag", tags=frozenset({"t" * 51})),
    "tags, all together,": record("tags", tags=frozenset(f"{number:040d}" for number in range(7))),
    "output_data.path": full("path", output_data=(DataKey("p" * 201, "0" * 40, MOMENT, {}),)),
    "platforms.machine": full("machine", platforms=(Platform(machine="m" * 21, ip_addr="192.0.2.1"),)),
}
ALL_TABLES = (
    *OWNED,
    *("django_store_project", "django_store_executable", "django_store_repository", "django_store_tag"),
    *("django_store_parameterset", "django_store_launchmode", "django_store_datastore"),
    *("django_store_dependency", "django_store_platforminformation"),
)


def emptied(server: DatabaseServer) -> Database:
    """Return the one database of *server* for tests that do not change its tables, without records.

    Creating one takes four times as long.
    """
    if server.shared is None:
        server.shared = server.new()
    elif server.scheme == "postgresql":
        server.shared.run(f"TRUNCATE {', '.join(ALL_TABLES)} RESTART IDENTITY")
    else:
        unbound = ("SET foreign_key_checks = 0", ())
        server.shared.run_all(unbound, *((f"TRUNCATE {table}", ()) for table in ALL_TABLES))
    return server.shared


class DatabasePlace(DjangoPlace):
    """The tables of Sumatra in *database*."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.location = find(database.url)

    def run(self, statement: str, *values: Any) -> list[Any]:
        return self.database.run(statement, *values)

    def forms(self) -> dict[Key, Any]:
        rows = {table: self.run(f"SELECT * FROM {table} ORDER BY 1, 2") for table in OWNED}
        columns = {table: self._columns(table).index(column) for table, column in OWNED.items()}
        label, project = (
            self._columns("django_store_record").index(name) for name in ("label", "project_id")
        )
        number = columns["django_store_record"]
        return {
            Key(bearer[project], bearer[label]): [
                [row for row in rows[table] if row[column] == bearer[number]]
                for table, column in columns.items()
            ]
            for bearer in rows["django_store_record"]
        }

    def columns(self, table: str, but: tuple[str, ...] = ()) -> str:
        """Return the names of the columns of *table*, except some, as SQL lists them."""
        return ", ".join(f'"{name}"' for name in self._columns(table) if name not in but)

    def _columns(self, table: str) -> list[str]:
        asked = "SELECT column_name FROM information_schema.columns"
        asked += " WHERE table_name = ? ORDER BY ordinal_position"
        return [name for (name,) in self.run(asked, table)]

    def files(self) -> dict[str, bytes]:
        return {
            table: repr(self.run(f"SELECT * FROM {table} ORDER BY 1, 2")).encode() for table in ALL_TABLES
        }


class PostgresqlPlace(DatabasePlace):
    """A database of PostgreSQL, which cannot hold NUL or invalid addresses."""

    unfit = (
        *DjangoPlace.unfit,
        *TOO_LONG.values(),
        record("nul", stdout_stderr="a\0b"),
        full("address", platforms=(Platform(ip_addr="somewhere"),)),
        full("no-address", platforms=(Platform(),)),
    )

    def fits(self, record: Record) -> bool:
        return "\0" not in (record.stdout_stderr or "") and all(each.ip_addr for each in record.platforms)

    def is_free(self) -> bool:
        waiting = [("BEGIN", ()), ("SET LOCAL lock_timeout = '1s'", ())]
        try:
            self.database.run_all(
                *waiting, ("LOCK TABLE django_store_record, django_store_tag", ()), ("COMMIT", ())
            )
        except Exception:  # noqa: BLE001 - whatever it is, the table is not to be had
            return False
        # A server has a lock with two numbers for as long as it runs, which keeps nobody from writing.
        return not self.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1")


class MysqlPlace(DatabasePlace):
    """A database of MySQL or MariaDB, which cannot hold infinite numbers, and takes `A` for `a`."""

    unfit = (
        *DjangoPlace.unfit,
        *TOO_LONG.values(),
        record("endless", duration=float("inf")),
        record("FIRST"),
        full("tags in two cases", tags=frozenset({"Good", "good"})),
    )

    def _columns(self, table: str) -> list[str]:
        return [column[0] for column in self.run(f"SHOW COLUMNS FROM {table}")]

    def fits(self, record: Record) -> bool:
        return not (record.duration == float("inf") or {"Good", "good"} <= record.tags)

    def is_free(self) -> bool:
        try:
            self.database.run_all(
                ("SET SESSION innodb_lock_wait_timeout = 1", ()),
                ("START TRANSACTION", ()),
                ("SELECT count(*) FROM django_store_record FOR UPDATE", ()),
                ("ROLLBACK", ()),
            )
        except Exception:  # noqa: BLE001 - whatever it is, the table is not to be had
            return False
        return self.run("SELECT is_free_lock(concat('smtd:', md5(database())))") == [(1,)]


def place_of(database: Database) -> DatabasePlace:
    """Return the place of *database*."""
    return PostgresqlPlace(database) if database.server.scheme == "postgresql" else MysqlPlace(database)
