# mypy: disable-error-code="import-not-found,import-untyped"
"""Have real Sumatra list every project of a store; print as JSON what that ran, opened and fetched.

For each project: `did`, a list of lines, and `error`, why it cannot be listed. Python reports all that is
opened, run and connected to; the script prints files in the working directory, except the store.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from opening import add_kind, close_store, only_answers, open_store


def watch(store: str) -> tuple[list[str], Callable[[str, Any], None]]:
    """Return a list, and a hook that adds to it what is done from now on."""
    did: list[str] = []
    here = os.getcwd() + os.sep

    def hook(event: str, arguments: Any) -> None:
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.abspath(arguments[0])
            if path.startswith(here) and not path.startswith(store):
                did.append(f"opened {path.removeprefix(here)}")
        elif event == "subprocess.Popen":
            did.append(f"ran {' '.join(arguments[1])}".replace(here, ""))
        elif event == "os.system":
            did.append(f"ran {os.fsdecode(arguments[0])}".replace(here, ""))
        elif event == "socket.connect":
            did.append(f"connected to {arguments[1]}")
        elif event == "os.mkdir":
            did.append(f"made {os.path.abspath(arguments[0])}".replace(here, ""))

    return did, hook


def listed(store: Any, project: str) -> str:
    """List a project; return why that fails, or nothing."""
    try:
        store.list(project)
    except Exception as exc:  # noqa: BLE001 - whatever Sumatra makes of the records
        return f"{type(exc).__name__}: {str(exc).splitlines()[-1]}"
    return ""


def main() -> None:
    """Open the store, and then watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    add_kind(parser)
    arguments = parser.parse_args()
    seen = {}
    with only_answers():
        store = open_store(arguments.kind, arguments.store)
        projects = store.list_projects()
        if projects:
            listed(store, projects[0])  # load now what would be loaded late
        did, hook = watch(os.path.abspath(arguments.store))
        sys.addaudithook(hook)
        for project in projects:
            did.clear()
            error = listed(store, project)
            seen[project] = {"did": list(did), "error": error}
        close_store(store)
    json.dump(seen, sys.stdout, sort_keys=True, indent=1)


if __name__ == "__main__":
    main()
