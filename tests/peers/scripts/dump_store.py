# mypy: disable-error-code="import-not-found,import-untyped"
"""Print as JSON what real Sumatra sees in a store: {project: {label: record}}."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from opening import add_kind, close_store, only_answers, open_store
from sumatra.formatting import record2dict

# The attributes that every record of 0.8.1 has; others are reported as extra.
OWN = {
    *("timestamp", "label", "reason", "duration", "executable", "repository", "main_file"),
    *("version", "parameters", "input_data", "script_arguments", "launch_mode", "datastore"),
    *("input_datastore", "outcome", "output_data", "tags", "diff", "user", "on_changed"),
    *("stdout_stderr", "repeats", "dependencies", "platforms"),
}
CLASSED = ("executable", "repository", "parameters", "launch_mode", "datastore", "input_datastore")


def described(record: Any) -> dict[str, Any]:
    """Return Sumatra's own JSON form of *record*, and the attributes that this form leaves out."""
    return {
        **record2dict(record),
        "timestamp_us": record.timestamp.isoformat(timespec="microseconds"),
        "input_creations_us": [creation(key) for key in record.input_data],
        "output_creations_us": [creation(key) for key in record.output_data],
        "class": {name: class_of(getattr(record, name)) for name in CLASSED},
        "parameters_as_dict": as_dict(record.parameters),
        "parameters_comments": getattr(record.parameters, "comments", None),
        "on_changed": getattr(record, "on_changed", None),
        "extra": {name: plain(value) for name, value in vars(record).items() if name not in OWN},
    }


def creation(key: Any) -> str | None:
    return None if key.creation is None else str(key.creation.isoformat(timespec="microseconds"))


def class_of(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def as_dict(parameters: Any) -> Any:
    """Return the values of *parameters*, whatever class holds them."""
    return plain(parameters.as_dict() if hasattr(parameters, "as_dict") else parameters)


def plain(value: Any) -> Any:
    """Return *value* for JSON; objects of classes that JSON cannot represent as their repr."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return repr(value)  # floats too: nan and inf have no JSON


def main() -> None:
    """Open the store once, read everything, print it with sorted keys."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    add_kind(parser)
    arguments = parser.parse_args()
    with only_answers():
        store = open_store(arguments.kind, arguments.store)
        seen = {
            project: {record.label: described(record) for record in store.list(project)}
            for project in store.list_projects()
        }
        close_store(store)
    json.dump(seen, sys.stdout, sort_keys=True, indent=1)


if __name__ == "__main__":
    main()
