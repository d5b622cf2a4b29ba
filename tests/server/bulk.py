"""Ask for many records in one request."""

from __future__ import annotations

import json
from typing import Any

from smtd.records.record import Record
from smtd.server import change_log, record_form
from tests.build import PROJECT
from tests.server.served import Client, Reply

GET, WRITE = "api/v1/records:get", "api/v1/records:write"


def digest(record: Record) -> str:
    """Return the digest of *record* as the server gives it."""
    return change_log.digest(record)


def asked(label: str, project: str = PROJECT) -> dict[str, Any]:
    """Return a line that asks for a record."""
    return {"project": project, "label": label}


def wanted(
    record: Record | None, expect: str | None = None, label: str = "", project: str = PROJECT
) -> dict[str, Any]:
    """Return a line that writes *record*, or deletes *label*."""
    document = None if record is None else record_form.document(record, project, precise=True)
    return {
        "project": project,
        "label": label or (record.label if record else ""),
        "expect": expect,
        "record": document,
    }


def ndjson(*lines: Any) -> bytes:
    """Return *lines* as a body."""
    return b"".join(record_form.encoded(line) + b"\n" for line in lines)


async def post(client: Client, path: str, body: bytes, **headers: str) -> Reply:
    """Send *body* to *path*."""
    return await client.ask("POST", path, body, **{"Content-Type": "application/x-ndjson", **headers})


async def get(client: Client, *lines: Any) -> list[Any]:
    """Return the lines of the answer to *lines*, which ask for records."""
    return answered(await post(client, GET, ndjson(*lines)))


async def write(client: Client, *lines: Any) -> list[Any]:
    """Return the lines of the answer to *lines*, which write records."""
    return answered(await post(client, WRITE, ndjson(*lines)))


def answered(reply: Reply) -> list[Any]:
    """Return the lines of *reply*."""
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/x-ndjson"), reply.body
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert reply.body[-1:] in (b"", b"\n")
    return [json.loads(line) for line in reply.body.split(b"\n")[:-1]]


def outcomes(lines: list[Any]) -> list[str]:
    """Return the outcome of each of *lines*."""
    return [line["outcome"] for line in lines]
