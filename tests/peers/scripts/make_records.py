# mypy: disable-error-code="import-not-found"
"""Have real Sumatra save records into a store: `rich` ones, or `many` of a parameter sweep."""

from __future__ import annotations

import argparse
import os
import pickle
from typing import Any

from many_in_django import save_many_in_django
from opening import add_dbm, add_kind, close_store, only_answers, open_store
from sample_records import finished_run, make_code, rich_records


def main() -> None:
    """Make the records, save them as the kind of store permits, print how many there were."""
    arguments = command_line()
    root = os.path.abspath(arguments.root or os.path.dirname(os.path.abspath(arguments.store)))
    with only_answers():
        make_code(root)
        if arguments.records == "rich":
            records = list(rich_records(root))
        else:
            last = arguments.first + arguments.count
            numbers = range(arguments.first, last)
            records = [finished_run(f"sweep-{number:05d}", number, root) for number in numbers]
        store = open_store(arguments.kind, arguments.store, arguments.dbm)
        save(store, arguments, records)
        close_store(store)
    print(len(records))


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("project")
    add_kind(parser)
    add_dbm(parser)
    parser.add_argument("--kind", dest="records", choices=("rich", "many"), default="rich")
    parser.add_argument("--count", type=int, default=100, help="how many, of --kind many")
    parser.add_argument("--first", type=int, default=0, help="the first number, of --kind many")
    parser.add_argument("--root", help="where data and code are said to be; default: beside STORE")
    return parser.parse_args()


def save(store: Any, arguments: argparse.Namespace, records: list[Any]) -> None:
    """Save one by one, as `smt` does; many at once, because one by one takes O(n²).

    In a rich shelf all but the last are as Sumatra has them when it saves one more: loaded from a pickle.
    """
    project = arguments.project
    if arguments.records == "rich" and arguments.kind == "shelf":
        *earlier, last = (pickle.loads(pickle.dumps(record)) for record in records)
        store.shelf[project] = {record.label: record for record in earlier}
        store.save(project, last)
    elif arguments.records == "rich":
        for record in records:
            store.save(project, record)
    elif arguments.kind == "shelf":
        known = store.shelf.get(project, {})
        store.shelf[project] = {**known, **{record.label: record for record in records}}
    else:
        save_many_in_django(store, project, records)


if __name__ == "__main__":
    main()
