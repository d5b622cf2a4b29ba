"""Read the body of an HTTP message, with limits on its time and on its size, compressed or not.

Who sends a byte now and then, or a few bytes that decompress to gigabytes, costs some seconds, and at most as
much memory as the limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator

import aiohttp
import anyio
from aiohttp import web
from anyio.lowlevel import checkpoint

#: Seconds that a body may take beyond the time of its bytes at the slowest speed; that speed, in bytes a
#: second.
GRACE, SLOWEST = 20.0, 1000
#: The most bytes that one step of decompression yields.
STEP = 64 * 2**10
#: The compressions that `read` knows.
ENCODINGS = "gzip, deflate"


class BodyTooLarge(Exception):
    """A body is larger than its limit, compressed or decompressed."""


class Slow(asyncio.TimeoutError):
    """A body arrives, but more slowly than any network would send it."""


class BadCompression(ValueError):
    """A body cannot be decompressed; the text says why."""


class UnknownCompression(BadCompression):
    """A body is compressed in another way than those of ENCODINGS."""


async def read(
    message: web.Request | aiohttp.ClientResponse,
    most: int,
    reserve: Callable[[int], None] = lambda count: None,
) -> bytes:
    """Return the body of *message*, decompressed.

    *reserve* gets the number of bytes of each piece before it is kept, and may raise. Raises BodyTooLarge for
    more than *most* bytes, Slow, BadCompression, and what aiohttp raises.
    """
    if (message.content_length or 0) > most:
        raise BodyTooLarge
    decompressor = _Decompressor(message.headers.get("Content-Encoding", ""))
    found = bytearray()  # a list of parts would take forty times as much for parts of one byte
    received, began = 0, anyio.current_time()
    while part := await _part(message.content, began + GRACE + received / SLOWEST):
        received += len(part)
        for piece in decompressor.pieces(part):
            if max(len(found) + len(piece), received) > most:
                raise BodyTooLarge
            reserve(len(piece))
            found += piece
            await checkpoint()  # lets other tasks run
    decompressor.finish()
    return bytes(found)


async def _part(content: aiohttp.StreamReader, deadline: float) -> bytes:
    """Return the next bytes; none at the end. Raises Slow."""
    try:
        with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
            return await content.readany()
    except TimeoutError as exc:
        raise Slow from exc


class _Decompressor:
    """Decompresses a body in steps, by its Content-*encoding*. Raises UnknownCompression."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UnknownCompression("a body must be compressed with gzip or deflate, or not at all")
        self._is_compressed = name not in ("", "identity")
        self._stream: zlib._Decompress | None = None

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Yield what *part* decompresses to, in pieces of at most STEP bytes. Raises BadCompression.

        Without compression, yield *part* in one piece.
        """
        if not self._is_compressed:
            yield part
            return
        if self._stream is None:
            self._stream = zlib.decompressobj(_window(part[0]))
        piece = b"begin"
        while part or len(piece) == STEP:  # a full piece: zlib may hold more, even without input
            try:
                piece = self._stream.decompress(part, STEP)
            except zlib.error as exc:
                raise BadCompression("the body cannot be decompressed") from exc
            yield piece
            part = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise BadCompression("data follows the end of the compressed body")

    def finish(self) -> None:
        """Raise BadCompression if the compressed body is incomplete."""
        if self._stream is not None and not self._stream.eof:
            raise BadCompression("the compressed body is cut off")


def _window(first: int) -> int:
    """Return how zlib is to read a body whose first byte is *first*: some omit the header of deflate."""
    has_header = first & 15 == zlib.DEFLATED or first == 0x1F
    return 32 + zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS  # 32: the header says gzip or zlib
