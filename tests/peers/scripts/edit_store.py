# mypy: disable-error-code="import-not-found"
"""Make one edit to one record through real Sumatra's classes."""

from __future__ import annotations

import argparse

from opening import add_kind, close_store, open_store


def main() -> None:
    """Apply the edit of the command line, as `smt tag`, `comment -r` and `delete` would."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("store", "project", "label"):
        parser.add_argument(name)
    add_kind(parser)
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--outcome")
    parser.add_argument("--reason")
    parser.add_argument("--delete", action="store_true")
    arguments = parser.parse_args()
    store = open_store(arguments.kind, arguments.store)
    if arguments.delete:
        store.delete(arguments.project, arguments.label)
    else:
        edit(store, arguments)
    close_store(store)


def edit(store: object, arguments: argparse.Namespace) -> None:
    """Read the record, change the requested fields, save it whole."""
    record = store.get(arguments.project, arguments.label)  # type: ignore[attr-defined]
    for tag in arguments.tag:
        record.add_tag(tag)
    for name in ("outcome", "reason"):
        if getattr(arguments, name) is not None:
            setattr(record, name, getattr(arguments, name))
    store.save(arguments.project, record)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
