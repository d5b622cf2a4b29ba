"""The body of a request, with limits on its size, on its time, and on all bodies together.

Not every release of aiohttp limits what it decompresses. So the server turns that off, and decompresses here,
in steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from http import HTTPStatus

import anyio
from aiohttp import web
from anyio.lowlevel import checkpoint

from smtd.server.answers import RequestRefused

#: The most bytes of a record's body, and of all bodies that are being read or used.
LARGEST, IN_FLIGHT = 64 * 2**20, 256 * 2**20
#: The bytes of a body up to which it is a usual one: that of most records.
USUAL = 2**20
#: The most bytes of a body that describes a project.
SMALL = 64 * 2**10
#: The most bytes that one step of decompression yields.
STEP = 64 * 2**10
#: Seconds that a body may take beyond the time of its bytes at the slowest speed; that speed, in bytes a
#: second.
GRACE, SLOWEST = 20.0, 1000


class Bodies:
    """Reads bodies, which together may hold at most *limit* bytes.

    A quarter of that is for usual bodies, of up to USUAL bytes: `smt run` does not repeat a refused save, so
    large bodies of others must not keep it out.
    """

    def __init__(self, limit: int = IN_FLIGHT) -> None:
        self._available = limit
        self._for_usual = limit // 4

    async def read(self, request: web.Request, limit: int) -> Body:
        """Return the decompressed body of *request*; the caller must close it. Raises RequestRefused."""
        body = Body(self)
        try:
            await body.fill(request, limit)
        except BaseException:
            body.close()
            raise
        return body

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


class Body:
    """The body of one request; a `with` block yields its content, and closes it at the end."""

    def __init__(self, bodies: Bodies) -> None:
        self.content = b""
        self._bodies = bodies
        self._reserved = 0

    def __enter__(self) -> bytes:
        return self.content

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the content, and release its bytes."""
        self.content = b""
        self._bodies.release(self._reserved)
        self._reserved = 0

    async def fill(self, request: web.Request, limit: int) -> None:
        """Read the body, of at most *limit* bytes, compressed and decompressed. Raises RequestRefused."""
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        decompressor = _Decompressor(request.headers.get("Content-Encoding", ""))
        found = bytearray()
        received, began = 0, anyio.current_time()
        while part := await _part(request, began + GRACE + received / SLOWEST):
            received += len(part)
            for piece in decompressor.pieces(part):
                if max(len(found) + len(piece), received) > limit:
                    raise _too_large(limit)
                self._bodies.reserve(len(piece), self._reserved)
                self._reserved += len(piece)
                found += piece
                await checkpoint()  # lets other tasks run
        decompressor.finish()
        self.content = bytes(found)


async def _part(request: web.Request, deadline: float) -> bytes:
    try:
        with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
            return await request.content.readany()
    except TimeoutError:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "the body arrived too slowly", {"Connection": "close"}
        ) from None


def _too_large(limit: int) -> RequestRefused:
    unit = f"{limit >> 20} MiB" if limit >= 2**20 else f"{limit >> 10} KiB"
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {unit}, compressed or decompressed",
        {"Connection": "close"},
    )


class _Decompressor:
    """Decompresses a body in steps, by its Content-*encoding*. Raises RequestRefused for an unknown one."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "a body must be compressed with gzip or deflate, or not at all",
            )
        self._stream: zlib._Decompress | None = None
        if name not in ("", "identity"):
            # 32: zlib reads from the header whether the format is gzip or zlib.
            self._stream = zlib.decompressobj(32 + zlib.MAX_WBITS)

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Yield what *part* decompresses to, in pieces of at most STEP bytes. Raises RequestRefused.

        Without compression, yield *part* in one piece.
        """
        if self._stream is None:
            yield part
            return
        piece = b"begin"
        while part or len(piece) == STEP:  # a full piece: zlib may hold more, even without input
            try:
                piece = self._stream.decompress(part, STEP)
            except zlib.error:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body cannot be decompressed") from None
            yield piece
            part = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "data follows the end of the compressed body")

    def finish(self) -> None:
        """Raise RequestRefused if the compressed body is incomplete."""
        if self._stream is not None and not self._stream.eof:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the compressed body is cut off")
