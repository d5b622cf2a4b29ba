# mypy: disable-error-code="import-not-found"
"""Save COUNT finished runs, LABEL-0 and on, one after the other with a pause; print the time of each save.

Prints "ready" before the first one, and at the end a list of seconds as JSON. A failed save ends it with a
traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import time

from opening import add_dbm, add_kind, close_store, only_answers, open_store
from sample_records import finished_run


def main() -> None:
    """Save, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("store", "project", "label"):
        parser.add_argument(name)
    add_kind(parser)
    add_dbm(parser)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two saves")
    arguments = parser.parse_args()
    root = os.path.dirname(os.path.abspath(arguments.store))
    took = []
    with only_answers():
        store = open_store(arguments.kind, arguments.store, arguments.dbm)
        store.list(arguments.project)
    print("ready", flush=True)
    for number in range(arguments.count):
        record = finished_run(f"{arguments.label}-{number}", number, root)
        began = time.perf_counter()
        with only_answers():
            store.save(arguments.project, record)
        took.append(time.perf_counter() - began)
        time.sleep(arguments.pause)
    with only_answers():
        close_store(store)
    print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
