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
#: The most bytes of a body that describes a project.
SMALL = 64 * 2**10
#: The most bytes that one step of decompression yields.
STEP = 64 * 2**10
#: Seconds that a body may take beyond the time of its bytes at the slowest speed; that speed, in bytes a
#: second.
GRACE, SLOWEST = 20.0, 1000


class Bodies:
    """Reads bodies, which together may hold at most *most* bytes."""

    def __init__(self, most: int = IN_FLIGHT) -> None:
        self._left = most

    async def read(self, request: web.Request, most: int) -> Body:
        """Return the decompressed body of *request*; the caller must close it. Raises RequestRefused."""
        body = Body(self)
        try:
            await body.fill(request, most)
        except BaseException:
            body.close()
            raise
        return body

    def take(self, count: int) -> None:
        """Reserve *count* bytes. Raises RequestRefused (429) if fewer are left."""
        if count > self._left:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "the server has too much to read at once; try again",
                {"Retry-After": "1"},
            )
        self._left -= count

    def give_back(self, count: int) -> None:
        """Release *count* reserved bytes."""
        self._left += count


class Body:
    """The body of one request; a `with` block yields its content, and closes it at the end."""

    def __init__(self, bodies: Bodies) -> None:
        self.content = b""
        self._bodies = bodies
        self._taken = 0

    def __enter__(self) -> bytes:
        return self.content

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the content, and release its bytes."""
        self.content = b""
        self._bodies.give_back(self._taken)
        self._taken = 0

    async def fill(self, request: web.Request, most: int) -> None:
        """Read the body, of at most *most* bytes, compressed and decompressed. Raises RequestRefused."""
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
                await checkpoint()  # lets other tasks run
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
    """Decompresses a body in steps, by its Content-*encoding*. Raises RequestRefused for an unknown one."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies are packed by gzip or deflate, or not at all"
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
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body cannot be unpacked") from None
            yield piece
            part = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "more follows the end of the packed body")

    def finish(self) -> None:
        """Raise RequestRefused if the compressed body is incomplete."""
        if self._stream is not None and not self._stream.eof:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "the packed body is cut off")
