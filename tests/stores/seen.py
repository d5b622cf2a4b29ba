"""What real Sumatra sees in a store, as records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from smtd.records.record import (
    Component,
    DataKey,
    Dependency,
    Executable,
    Key,
    Parameters,
    Platform,
    Record,
    Repository,
)
from tests.build import UTC
from tests.peers.stores import Seen

_TEXTS = (
    *("label", "reason", "main_file", "version", "script_arguments", "outcome"),
    *("stdout_stderr", "diff", "user", "repeats"),
)


def records(seen: Seen) -> dict[Key, Record]:
    """Return the records that `dump_store.py` printed."""
    return {
        Key(project, label): _record(one) for project, held in seen.items() for label, one in held.items()
    }


def _record(seen: dict[str, Any]) -> Record:
    return Record(
        **{name: seen[name] for name in _TEXTS},
        timestamp=_moment(seen["timestamp_us"]),
        duration=seen["duration"],
        executable=Executable(**seen["executable"]),
        repository=Repository(**seen["repository"]),
        parameters=Parameters(**seen["parameters"]),
        input_data=_data_keys(seen["input_data"], seen["input_creations_us"]),
        launch_mode=Component(**seen["launch_mode"]),
        datastore=Component(**seen["datastore"]),
        input_datastore=Component(**seen["input_datastore"]),
        output_data=_data_keys(seen["output_data"], seen["output_creations_us"]),
        tags=frozenset(seen["tags"]),
        dependencies=tuple(Dependency(**found) for found in seen["dependencies"]),
        platforms=tuple(Platform(**found) for found in seen["platforms"]),
    )


def _data_keys(keys: list[dict[str, Any]], creations: list[str | None]) -> tuple[DataKey, ...]:
    return tuple(
        DataKey(key["path"], key["digest"], _moment(creation) if creation else None, key["metadata"])
        for key, creation in zip(keys, creations, strict=True)
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
