# mypy: disable-error-code="import-not-found"
"""Sumatra's own sync of one project between two stores, each given as KIND:PATH.

`smt sync A B` guesses what A and B are and guesses wrong for a dumb shelf; here it is told.
Prints the labels that Sumatra could not synchronize, one a line.
"""

from __future__ import annotations

import argparse

from opening import close_store, only_answers, open_store


def main() -> None:
    """Open both before either is used, as Sumatra asks, and sync."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("left", "right", "project"):
        parser.add_argument(name, metavar=name.upper())
    arguments = parser.parse_args()
    with only_answers():
        left, right = (open_store(*location.split(":", 1)) for location in (arguments.left, arguments.right))
        not_synced = left.sync(right, arguments.project)
        close_store(left)
        close_store(right)
    print("\n".join(sorted(not_synced)))


if __name__ == "__main__":
    main()
