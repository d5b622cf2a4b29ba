# mypy: disable-error-code="import-not-found"
"""Save COUNT records, LABEL-0 and on, with the shelf open, as an `smt run` that never pauses.

A failed save ends it with a traceback. Prints "ready" after the first save, "done" at the end.
"""

from __future__ import annotations

import argparse
import os

from opening import add_dbm, close_store, only_answers, open_store
from sample_records import finished_run


def main() -> None:
    """Save one record after the other; each save reads and rewrites the whole project."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("shelf", "project", "label"):
        parser.add_argument(name)
    parser.add_argument("--count", type=int, default=200)
    add_dbm(parser)
    arguments = parser.parse_args()
    root = os.path.dirname(os.path.abspath(arguments.shelf))
    with only_answers():
        store = open_store("shelf", arguments.shelf, arguments.dbm)
    for number in range(arguments.count):
        with only_answers():
            store.save(arguments.project, finished_run(f"{arguments.label}-{number}", number, root))
        if not number:
            print("ready", flush=True)
    with only_answers():
        close_store(store)
    print("done", flush=True)


if __name__ == "__main__":
    main()
