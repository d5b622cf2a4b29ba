"""The body of a request, with limits on its size, on its time, and on all bodies together.

Not every release of aiohttp limits what it decompresses. So the server turns that off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from smtd import http_body
from smtd.http_body import BadCompression, BodyTooLarge, Slow, UnknownCompression
from smtd.server.answers import RequestRefused

#: The most bytes of a record's body, and of all bodies that are being read or used.
LARGEST, IN_FLIGHT = 64 * 2**20, 256 * 2**20
#: The bytes of a body up to which it is a usual one: that of most records.
USUAL = 2**20
#: The most bytes of a body that describes a project.
SMALL = 64 * 2**10


class Bodies:
    """Reads bodies, which together may hold at most *limit* bytes.

    A quarter of that is for usual bodies, of up to USUAL bytes: `smt run` does not repeat a refused save, so
    large bodies of others must not keep it out.
    """

    def __init__(self, limit: int = IN_FLIGHT) -> None:
        self._available = limit
        self._for_usual = limit // 4

    @asynccontextmanager
    async def read(self, request: web.Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the decompressed body of *request*, whose bytes count until the end of the block.

        Raises RequestRefused, also for more than *limit* bytes, compressed or decompressed.
        """
        held = 0

        def reserve(count: int) -> None:
            nonlocal held
            self.reserve(count, held)
            held += count

        try:
            yield await _read(request, limit, reserve)
        finally:
            self.release(held)

    def reserve(self, count: int, held: int = 0) -> None:
        """Reserve *count* bytes for a body that has reserved *held* so far.

        Raises RequestRefused (429) if fewer are left.
        """
        kept = self._for_usual if held + count > USUAL else 0
        if count > self._available - kept:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "the server is reading too much at once; try again",
                {"Retry-After": "1"},
            )
        self._available -= count

    def release(self, count: int) -> None:
        """Release *count* reserved bytes."""
        self._available += count


async def _read(request: web.Request, limit: int, reserve: Callable[[int], None]) -> bytes:
    close = {"Connection": "close"}
    try:
        return await http_body.read(request, limit, reserve)
    except BodyTooLarge:
        unit = f"{limit >> 20} MiB" if limit >= 2**20 else f"{limit >> 10} KiB"
        why = f"the body is larger than {unit}, compressed or decompressed"
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why, close) from None
    except Slow:
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "the body arrived too slowly", close) from None
    except UnknownCompression as exc:
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(exc)) from None
    except BadCompression as exc:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(exc)) from None
