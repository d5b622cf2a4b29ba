"""The body of a request: bounded in size, packed or not, in time, and together with all others.

aiohttp would unpack it by itself, however much comes out: so that is turned off, and done here in steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from http import HTTPStatus

import anyio
from aiohttp import web
from anyio.lowlevel import checkpoint

from smtd.server.answers import RequestRefused

#: Bytes of a record, and of all bodies that are being read or used.
LARGEST, IN_FLIGHT = 64 * 2**20, 256 * 2**20
#: Bytes of what says something of a project.
SMALL = 64 * 2**10
#: Bytes that are unpacked at a time.
STEP = 64 * 2**10
#: Seconds that a body may take beyond what its bytes take at the slowest speed; bytes a second.
GRACE, SLOWEST = 20.0, 1000


class Bodies:
    """Reads bodies; what they hold together is bounded."""

    def __init__(self, most: int = IN_FLIGHT) -> None:
        self._left = most

    async def read(self, request: web.Request, most: int) -> Body:
        """Return the body of *request*, unpacked; close it when it is used. Raises RequestRefused."""
        body = Body(self)
        try:
            await body.fill(request, most)
        except BaseException:
            body.close()
            raise
        return body

    def take(self, count: int) -> None:
        """Take *count* bytes of what is left. Raises RequestRefused if there are not as many."""
        if count > self._left:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "the server has too much to read at once; try again",
                {"Retry-After": "1"},
            )
        self._left -= count

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self._left += count


class Body:
    """What a request holds, for the length of a `with` block."""

    def __init__(self, bodies: Bodies) -> None:
        self.content = b""
        self._bodies = bodies
        self._taken = 0

    def __enter__(self) -> bytes:
        return self.content

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self.content = b""
        self._bodies.give_back(self._taken)
        self._taken = 0

    async def fill(self, request: web.Request, most: int) -> None:
        """Read it, up to *most* bytes."""
        if (request.content_length or 0) > most:
            raise _too_large(most)
        unpack = _Unpacking(request.headers.get("Content-Encoding", ""))
        found = bytearray()
        packed, began = 0, anyio.current_time()
        while part := await _part(request, began + GRACE + packed / SLOWEST):
            packed += len(part)
            for piece in unpack.pieces(part):
                if max(len(found) + len(piece), packed) > most:
                    raise _too_large(most)
                self._bodies.take(len(piece))
                self._taken += len(piece)
                found += piece
                await checkpoint()  # others go on
        unpack.finish()
        self.content = bytes(found)


async def _part(request: web.Request, deadline: float) -> bytes:
    try:
        with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
            return await request.content.readany()
    except TimeoutError:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly", {"Connection": "close"}
        ) from None


def _too_large(most: int) -> RequestRefused:
    unit = f"{most >> 20} MiB" if most >= 2**20 else f"{most >> 10} KiB"
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {unit}, unpacked or not",
        {"Connection": "close"},
    )


class _Unpacking:
    """Unpacks what is packed by *encoding*, in steps."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies are packed by gzip or deflate, or not at all"
            )
        self._stream: zlib._Decompress | None = None
        if name not in ("", "identity"):
            # 32: by gzip or zlib, as its head says.
            self._stream = zlib.decompressobj(32 + zlib.MAX_WBITS)

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Give what *part* unpacks to, in steps. Raises RequestRefused."""
        if self._stream is None:
            yield part
            return
        piece = b"begin"
        while part or len(piece) == STEP:  # a full piece may leave more, though all was taken in
            try:
                piece = self._stream.decompress(part, STEP)
            except zlib.error:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body cannot be unpacked") from None
            yield piece
            part = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "more follows the end of the packed body")

    def finish(self) -> None:
        """Raise RequestRefused if the end is missing."""
        if self._stream is not None and not self._stream.eof:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the packed body is cut off")
