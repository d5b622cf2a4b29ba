# mypy: disable-error-code="import-not-found"
"""Keep a shelf open as a long `smt run` does: save LABEL, wait for a line, save LABEL-2, close.

Prints "ready" when the first record is saved and "done" when the shelf is closed.
"""

from __future__ import annotations

import argparse
import os
import sys

from opening import add_dbm, close_store, only_answers, open_store
from sample_records import finished_run


def main() -> None:
    """Save, wait, save; each save rewrites what this process believes the project to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("shelf", "project", "label"):
        parser.add_argument(name)
    add_dbm(parser)
    arguments = parser.parse_args()
    root = os.path.dirname(os.path.abspath(arguments.shelf))
    with only_answers():
        store = open_store("shelf", arguments.shelf, arguments.dbm)
        store.save(arguments.project, finished_run(arguments.label, 1, root))
    print("ready", flush=True)
    sys.stdin.readline()
    with only_answers():
        store.save(arguments.project, finished_run(f"{arguments.label}-2", 2, root))
        close_store(store)
    print("done", flush=True)


if __name__ == "__main__":
    main()
