"""How the tables of a MySQL or MariaDB hold texts: character sets, and which texts are equal there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import NamedTuple

from smtd.errors import StoreRefused
from smtd.records.record import Key
from smtd.stores.django.connection import DatabaseConnection

_COLUMN = re.compile(r"for column (\S+)")
RECORDS = "django_store_record"
#: The column types for bytes: in a database with the character set binary, text columns get these types.
_BYTES = frozenset(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"))


class Texts(NamedTuple):
    """How the tables hold texts."""

    #: The tables with a column in which different texts can count as equal.
    folding: frozenset[str] = frozenset()
    #: Character set and collation of labels.
    label: tuple[str, str] = ("utf8mb4", "utf8mb4_bin")

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """Return those of *keys* that equal another key to the database, there or in *keys*, and why."""
        if RECORDS not in self.folding:
            return {}
        labels = list({key.label for key in keys})
        # In the column's character set. A write rejects a label that it cannot hold, and names the column.
        held = "convert(? USING {}) COLLATE {}".format(*self.label)
        taken: dict[Key, Key] = {}
        for start in range(0, len(labels), 500):
            chunk = labels[start : start + 500]
            asked = "SELECT DISTINCT project_id, label FROM django_store_record WHERE label IN"
            for found in await db.fetch(f"{asked} ({', '.join([held] * len(chunk))})", chunk):
                there = Key(*found)
                taken[Key(*map(folded, found))] = there
        collisions = {}
        for key in keys:
            other = taken.setdefault(Key(folded(key.project), folded(key.label)), key)
            if other != key:
                collisions[key] = (
                    f"its label cannot be told apart from {other.label!r} of {other.project} there:"
                    " the database ignores case and accents"
                )
        return collisions


async def texts(db: DatabaseConnection) -> Texts:
    """Return how Sumatra's tables hold texts. Raises StoreRefused if one of their columns holds bytes."""
    found = await db.fetch(
        "SELECT table_name, column_name, data_type, character_set_name, collation_name"
        " FROM information_schema.columns WHERE table_schema = database()"
        " AND table_name LIKE 'django\\_%' AND (collation_name IS NOT NULL OR data_type LIKE '%b%')"
    )
    if held := [f"{table}.{column}" for table, column, kind, _, _ in found if kind in _BYTES]:
        raise _bytes_only(held[0])
    texts = [(table, column, text) for table, column, _, *text in found if text[1] is not None]
    folding = frozenset(
        table for table, _, (_, collation) in texts if not collation.endswith(("_bin", "_cs"))
    )
    label = next(text for table, column, text in texts if (table, column) == (RECORDS, "label"))
    return Texts(folding, (label[0], label[1]))


def _bytes_only(what: str) -> StoreRefused:
    return StoreRefused(
        f"{what} has the character set binary, so Sumatra would read bytes instead of text; convert it with"
        " ALTER ... CHARACTER SET utf8mb4"
    )


async def check_database(db: DatabaseConnection) -> None:
    """Raise StoreRefused for a database in which new tables would hold bytes."""
    if await db.value("SELECT @@character_set_database") == "binary":
        raise _bytes_only("the database")


def charset_problem(message: str) -> str:
    """Return why a record does not fit into the tables, given the server's error *message*."""
    column = _COLUMN.search(message)
    what = column[1].replace("`", "").split(".")[-1] if column else "text"
    return (
        f"its {what} has a character that is not in the character set of the column;"
        " convert the table to utf8mb4"
    )


def folded(text: str) -> str:
    """Return *text* without what such collations ignore: case, accents, and spaces at the end."""
    if not text.isascii():
        text = "".join(
            each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)
        )
    return text.casefold().rstrip(" ")
