# mypy: disable-error-code="import-not-found,import-untyped"
"""Print as JSON what Sumatra's own client sees of a project on a server: {label: record}."""

from __future__ import annotations

import argparse
import json
import sys

from dump_store import described
from opening import only_answers
from sumatra.recordstore.http_store import HttpRecordStore


def main() -> None:
    """List the project once, as `smt list` does."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "username", "password", "project"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    with only_answers():
        store = HttpRecordStore(arguments.url, arguments.username, arguments.password)
        seen = {record.label: described(record) for record in store.list(arguments.project)}
    json.dump(seen, sys.stdout, sort_keys=True, indent=1)


if __name__ == "__main__":
    main()
