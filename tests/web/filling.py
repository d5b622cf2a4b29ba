"""Put records on a server by its API, as clients do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from smtd.records.record import Record
from smtd.server import record_form
from tests.build import PROJECT
from tests.server.served import PASSWORD


@dataclass(frozen=True)
class Filler:
    """The user *name* of the server at *root*."""

    root: str
    name: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        """Send a request to the API, which must do what it asks for."""
        request = Request(f"{self.root}records/{path}", body, method=method)
        login = base64.b64encode(f"{self.name}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
                answer.read()
        except HTTPError as error:
            with error:
                raise AssertionError(f"{error.code}: {error.read().decode()}") from error

    def make(self, project: str = PROJECT, **info: str) -> None:
        """Make *project*."""
        self.ask("PUT", f"{quote(project)}/", json.dumps(info).encode())

    def put(self, record: Record, project: str = PROJECT) -> None:
        """Put *record*."""
        body = record_form.encoded(record_form.document(record, project, precise=True))
        self.ask("PUT", f"{quote(project)}/{quote(record.label, safe='')}/", body)

    def put_all(self, records: Iterable[Record], project: str = PROJECT) -> None:
        """Put *records*."""
        for record in records:
            self.put(record, project)

    def annotate(self, label: str, project: str = PROJECT, **fields: object) -> None:
        """Change reason, outcome or tags of the record *label*, as `smt comment` and `smt tag` do."""
        body = json.dumps(fields).encode()
        self.ask("PUT", f"{quote(project)}/{quote(label, safe='')}/", body)
