"""Send a server the requests of many `smt run`: five saves of each record, each a GET and a PUT.

    python saves.py BODIES ADDRESS LOGIN COUNT

ADDRESS is that of the project; all records have the first of BODIES. Prints the seconds of each save as JSON.
It uses the standard library only, so that the client itself takes as little time as possible.
"""

from __future__ import annotations

import json
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: The status of a run in each of its five saves.
STATUSES = ("_initialized_", "_pre_run_", "_running_", "_finished..._", "_finished_")


class Client:
    """Imitates Sumatra's client for one project: keeps its connection and the ETag of the last listing."""

    def __init__(self, address: str, login: str) -> None:
        found = urlsplit(address)
        self._line = HTTPConnection(found.hostname or "", found.port, timeout=300)
        self._path = found.path
        self._headers = {"Authorization": f"Basic {login}"}
        self._etag = ""

    def ask(self, method: str, end: str, body: bytes | None = None, **headers: str) -> bytes:
        """Send a request and return the body of the answer. Raises SystemExit for a failure."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        self._line.request(method, f"{self._path}/{end}", body, {**self._headers, **more})
        answer = self._line.getresponse()
        found = answer.read()
        if answer.status not in (200, 201, 304):
            sys.exit(f"{method} {end}: {answer.status}: {found[:200]!r}")
        if not end:
            self._etag = answer.headers.get("ETag", "")
        return found

    def save(self, label: str, body: bytes) -> float:
        """Save a record; return the seconds that it took."""
        began = time.perf_counter()
        # Like httplib2, which caches the listing, and asks whether it has changed.
        known = {"If_None_Match": self._etag} if self._etag else {}
        self.ask("GET", "", None, Accept="application/vnd.sumatra.project-v4+json, application/json", **known)
        self.ask("PUT", f"{label}/", body, Content_Type="application/vnd.sumatra.record-v4+json")
        return time.perf_counter() - began

    def get(self, end: str = "") -> Any:
        """Return a record, or the project."""
        return json.loads(self.ask("GET", end))


def main(bodies: str, address: str, login: str, count: str) -> None:
    """Measure, check what was saved, and print the result."""
    body = next(iter(json.loads(Path(bodies).read_text("utf-8")).values()))
    template = json.loads(body)
    client = Client(address, login)
    before = len(client.get()["records"])
    took = []
    for number in range(int(count)):
        label = f"saved-{number}"
        for status in STATUSES:
            said = {"label": label, "tags": [status], "outcome": f"{label} {status}"}
            took.append(client.save(label, json.dumps({**template, **said}).encode()))
        record = client.get(f"{label}/")
        if record["outcome"] != said["outcome"] or list(record["tags"]) != said["tags"]:
            sys.exit(f"{label} was not saved: {record}")
    if len(client.get()["records"]) != before + int(count):
        sys.exit("the project does not list what was saved")
    print(json.dumps(took))


if __name__ == "__main__":
    main(*sys.argv[1:])
