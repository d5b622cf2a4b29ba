"""Hold an answer of the server against its OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from smtd.server.api_document import document

DOCUMENT: dict[str, Any] = json.loads(document())
#: Statuses that a request may get before the server looks at its method.
BEFORE_THE_METHOD = frozenset((400, 401, 403, 415, 429))


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return what *part* of the document is, or refers to."""
    if (found := part.get("$ref")) is None:
        return part
    whole: Any = DOCUMENT
    for name in found.removeprefix("#/").split("/"):
        whole = whole[name]
    return dict(whole)


@cache
def documented_path(path: str) -> str | None:
    """Return the path of the document that stands for *path*, which has no query; None: there is none."""
    if path in DOCUMENT["paths"]:
        return path
    if not re.fullmatch(r"/records(/.*)?", path, re.DOTALL):
        return None
    project, _, label = path.removeprefix("/records").removeprefix("/").partition("/")
    if not label:
        return "/records/{project}/" if project else "/records/"
    return "/records/{project}/{label}/" if project else None


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> jsonschema_rs.Validator:
    answer = resolved(DOCUMENT["paths"][path][method]["responses"][status])
    schema = answer["content"][media_type]["schema"]
    return jsonschema_rs.Draft202012Validator({"components": DOCUMENT["components"], **schema})


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail unless the document says that *method* on *path*, which has no query, may have this answer."""
    found = documented_path(path)
    if found is None:
        assert status in (400, 404), f"{path} is not in the document"
        return
    operation = DOCUMENT["paths"][found].get("get" if method == "HEAD" else method.lower())
    if operation is None:
        assert status == 405 or status in BEFORE_THE_METHOD, f"{method} {found} is not in the document"
        return
    assert str(status) in operation["responses"], f"{method} {found}: {status} is not in the document"
    answer = resolved(operation["responses"][str(status)])
    for name, header in answer.get("headers", {}).items():
        assert name in headers or not resolved(header)["required"], f"{method} {found}: no {name}"
    if method == "HEAD" or "content" not in answer:
        assert body == b""
        return
    media_type = headers["Content-Type"].partition(";")[0]
    assert media_type in answer["content"], f"{method} {found}: {media_type} is not in the document"
    if media_type.startswith("text/"):
        return
    says = [json.loads(line) for line in body.splitlines()] if "ndjson" in media_type else json.loads(body)
    _validator(found, "get" if method == "HEAD" else method.lower(), str(status), media_type).validate(says)
