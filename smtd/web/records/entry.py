"""What the index holds of a record: the row of a table, and by what it is found. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from smtd.records.record import DataKey, Key, Record
from smtd.text import encodable
from smtd.web.records import parameter_values, run_words
from smtd.web.records.parameter_values import Parameter

#: The most characters of one text that is searched, and of one that a table shows.
SEARCHED, SHOWN = 10_000, 300
#: The most tags and files of one record.
_MOST_TAGS, _MOST_FILES = 100, 1000
#: What a record that cannot be read has in place of a status.
UNREADABLE = "unreadable"


class Row(NamedTuple):
    """A record as a table shows it.

    *at*: when it was run, in seconds since 1970. *duration*: in seconds (None: unknown). *status*: empty if
    the record has none. *tags*: as JSON. *version*: that of the code. *problem*: why it cannot be read.
    """

    project: str
    label: str
    digest: str
    problem: str = ""
    at: float = 0.0
    duration: float | None = None
    status: str = ""
    reason: str = ""
    outcome: str = ""
    tags: str = "[]"
    main_file: str = ""
    arguments: str = ""
    version: str = ""
    executable: str = ""
    user: str = ""

    @property
    def key(self) -> Key:
        """The key of the record."""
        return Key(self.project, self.label)

    @property
    def tag_names(self) -> list[str]:
        """The tags that people gave."""
        return list(json.loads(self.tags))


class File(NamedTuple):
    """A file that the run of a record read or made. *name*: the last part of its *path*."""

    role: str
    path: str
    name: str
    digest: str


class Words(NamedTuple):
    """The texts in which people search."""

    label: str
    reason: str = ""
    outcome: str = ""
    tags: str = ""
    main_file: str = ""
    parameters: str = ""


class IndexEntry(NamedTuple):
    """All that the index holds of one record."""

    row: Row
    words: Words
    tags: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    files: Sequence[File] = ()


def of_record(key: Key, digest: str, record: Record) -> IndexEntry:
    """Return the entry of *record*, which has *digest*."""
    tags = [encodable(tag) for tag in run_words.own_tags(record.tags)[:_MOST_TAGS]]
    parameters = parameter_values.listed(record.parameters)
    row = Row(
        key.project,
        key.label,
        digest,
        at=record.timestamp.timestamp(),
        duration=_duration(record.duration),
        status=run_words.status(record.tags),
        reason=_text(record.reason, SHOWN),
        outcome=_text(record.outcome, SHOWN),
        tags=json.dumps(tags),
        main_file=_text(record.main_file, SHOWN),
        arguments=_text(record.script_arguments, SHOWN),
        version=_text(record.version, SHOWN),
        executable=_executable(record),
        user=_text(record.user, SHOWN),
    )
    words = Words(
        key.label,
        _text(record.reason),
        _text(record.outcome),
        " ".join(tags),
        _text(record.main_file),
        " ".join(f"{each.name} {each.text}" for each in parameters)[:SEARCHED],
    )
    files = [
        *_files("input", record.input_data[:_MOST_FILES]),
        *_files("output", record.output_data[:_MOST_FILES]),
    ]
    return IndexEntry(row, words, tags, parameters, files)


def of_unreadable(key: Key, digest: str, problem: str) -> IndexEntry:
    """Return the entry of a record that cannot be read."""
    row = Row(key.project, key.label, digest, encodable(problem[:SHOWN]), status=UNREADABLE)
    return IndexEntry(row, Words(key.label))


def _text(value: str | None, most: int = SEARCHED) -> str:
    return encodable((value or "")[:most])


def _duration(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _executable(record: Record) -> str:
    found = record.executable
    if found is None:
        return ""
    return _text(" ".join(word for word in (found.name, found.version) if word), SHOWN)


def _files(role: str, keys: Sequence[DataKey]) -> list[File]:
    found = dict.fromkeys((_text(key.path, 1000), _text(key.digest, 100)) for key in keys)
    return [File(role, path, path.rstrip("/").rpartition("/")[2], digest) for path, digest in found]
