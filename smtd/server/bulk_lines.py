"""The lines of a bulk request, and of its answer: each is a JSON object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import documents
from smtd.records.record import BAD_VALUE, Key, Record, is_plain
from smtd.server import change_log, record_form, targets
from smtd.server.answers import RequestRefused
from smtd.server.record_form import BadDocument
from smtd.server.targets import BadTarget, Target
from smtd.server.transaction import Current, columns
from smtd.stores.django.rows import Columns
from smtd.stores.http import form
from smtd.text import encodable

#: The media type of requests and answers.
NDJSON = "application/x-ndjson"
#: The most lines of one request.
MOST_LINES = 1000


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One line of a request to write: *key* shall hold *record* (None: nothing) if it now has *expect*.

    *expect* and *digest* are digests (None: absent); the second is that of *record*, and *columns* are what
    the tables hold of it. With a *refusal*, the line cannot be carried out, whatever the key holds.
    """

    key: Key
    expect: str | None
    record: Record | None = None
    digest: str | None = None
    columns: Columns | None = None
    refusal: str = ""


def keys(body: bytes) -> list[Key]:
    """Return the keys that the lines of *body* ask for. Raises RequestRefused."""
    return [_key(number, line) for number, line in _lines(body, ("project", "label"))]


def writes(body: bytes) -> list[RecordLine]:
    """Return what the lines of *body* want to write. Raises RequestRefused."""
    names = ("project", "label", "expect", "record")
    return [_write(number, line) for number, line in _lines(body, names)]


def _lines(body: bytes, names: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line, which has exactly the members *names*."""
    if body.count(b"\n") + (not body.endswith(b"\n")) > MOST_LINES:
        # As for a body with too many bytes: the client has to send less at once.
        raise RequestRefused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request has up to {MOST_LINES:,} lines; send fewer at once",
        )
    try:
        record_form.check_parts(body)
    except BadDocument as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from exc
    for number, line in enumerate(body.removesuffix(b"\n").split(b"\n") if body else (), 1):
        try:
            found = documents.read(line, doubled=documents.refuse)
        except BAD_VALUE as exc:
            raise _bad(number, f"is not JSON that can be used: {form.why_not(exc)}") from exc
        if not isinstance(found, dict):
            raise _bad(number, "is not an object of JSON")
        if found.keys() != set(names):
            raise _bad(number, f"does not have exactly the members {', '.join(names)}")
        yield number, found


def _key(number: int, line: dict[str, Any]) -> Key:
    for name in ("project", "label"):
        text = line[name]
        if not isinstance(text, str) or not is_plain(text) or "\0" in text:
            raise _bad(number, f"has a {name} that is not text")
    return Key(line["project"], line["label"])


def _write(number: int, line: dict[str, Any]) -> RecordLine:
    key, expect, document = _key(number, line), line["expect"], line["record"]
    if not (expect is None or isinstance(expect, str)):
        raise _bad(number, "expects what is neither a digest nor null")
    if document is None:
        return RecordLine(key, expect)
    if not isinstance(document, dict):
        raise _bad(number, "has a record that is neither an object nor null")
    try:
        if not _has_address(key):
            return RecordLine(key, expect, refusal="no address of a record can have this label")
        record = record_form.whole(document, key)
        return RecordLine(key, expect, record, change_log.digest(record), columns(record))
    except RecordUnusable as exc:
        return RecordLine(key, expect, refusal=f"the record cannot be kept: {exc}")
    except BAD_VALUE as exc:
        return RecordLine(key, expect, refusal=f"this is not a record: {form.why_not(exc)}")


def _has_address(key: Key) -> bool:
    """Say whether *key* has an address below `/records/`.

    Sumatra's clients read every record that is listed, and stop at one that cannot be addressed.
    """
    try:
        return targets.parsed(targets.RECORDS + targets.path(*key)) == Target(*key) and bool(key.label)
    except BadTarget:
        return False


def _bad(number: int, what: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.BAD_REQUEST, f"line {number} {what}")


def answer(key: Key, outcome: str, **more: Any) -> bytes:
    """Return a line of an answer. Raises RecordUnusable for a record that JSON cannot express."""
    return (
        record_form.encoded({"project": key.project, "label": key.label, "outcome": outcome, **more}) + b"\n"
    )


def denied(key: Key, outcome: str, why: str) -> bytes:
    """Return a line of an answer that says in one sentence *why* nothing was done."""
    return answer(key, outcome, error=encodable(why))


def shown(key: Key, held: Current) -> bytes:
    """Return the line that gives what *key* holds: a record, nothing, or something unreadable."""
    problem, validator = held.content.problem, held.content.validator
    if not problem and (record := held.record) is not None:
        try:
            document = record_form.document(record, key.project, precise=True)
            return answer(key, "found", digest=validator, record=document)
        except RecordUnusable as exc:
            problem = str(exc)
    if problem:
        return answer(key, "unreadable", digest=validator, error=encodable(problem))
    return answer(key, "absent", digest=None)
