"""`GET /api/v1/` and `GET /api/v1/openapi.json`: the description of the server's API, for programs."""

from __future__ import annotations

from functools import cache, partial
from hashlib import blake2b
from importlib.resources import files

from aiohttp import web
from anyio import to_thread

from smtd.server.answers import answer_by_method, found, not_modified
from smtd.server.record_form import encoded
from smtd.server.targets import DOCUMENT
from smtd.server.validators import etag


@cache
def document() -> bytes:
    """Return the OpenAPI document of the server. Blocks."""
    return files("smtd.server").joinpath("openapi.json").read_bytes()


async def root(request: web.Request, prefix: str) -> web.StreamResponse:
    """Say where the document is; *prefix* is the path of the server's root. Raises RequestRefused."""

    async def get() -> web.Response:
        address = f"{prefix}{DOCUMENT[1:]}"
        headers = {"Link": f'<{address}>; rel="service-desc"'}
        return found(encoded({"openapi": address}), "application/json", headers)

    return await answer_by_method(request, {"GET": get})


async def answer(request: web.Request) -> web.StreamResponse:
    """Return the document. Raises RequestRefused."""
    return await answer_by_method(request, {"GET": partial(_get, request)})


async def _get(request: web.Request) -> web.Response:
    body = await to_thread.run_sync(document)
    tag = blake2b(body, digest_size=12).hexdigest()
    if (unchanged := not_modified(request.headers, tag, "the document")) is not None:
        return unchanged
    return found(body, "application/json", {"ETag": etag(tag)})
