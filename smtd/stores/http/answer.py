"""Read the body of an answer, with limits on its time and on its size, compressed or not.

A server that sends a byte now and then, or a few bytes that decompress to gigabytes, costs one failed look,
some seconds, and at most as much memory as the limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

import aiohttp
import anyio
from anyio.lowlevel import checkpoint

from smtd.errors import StoreUnreachable

#: The seconds that an answer may take in addition to its bytes, and the least bytes per second.
GRACE, SLOWEST = 20.0, 1000
#: The most bytes of a listing: 100,000 records with the longest labels. The most bytes of one record: all
#: that the server accepts (2.5 MB), with each character escaped.
LISTING, DOCUMENT = 32 * 2**20, 16 * 2**20
#: The most entries of a listing. In memory an entry takes some fifty times as much as in JSON.
ENTRIES = 1_000_000
#: The most bytes that are decompressed at a time.
_STEP = 2**18
#: The compressions that smtd supports.
ENCODINGS = "gzip, deflate"


class TooLarge(StoreUnreachable):
    """An answer is larger than any that a server should give."""


class Slow(asyncio.TimeoutError):
    """An answer arrived, but more slowly than any network would send it."""


async def body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of *response*, decompressed.

    Raises TooLarge, without the server's name, for more than *most* bytes, Slow, and aiohttp.ClientError.
    """
    if (response.content_length or 0) > most:
        raise _too_large(most)
    unpack = _Unpacking(response.headers.get("Content-Encoding", ""))
    found = bytearray()  # a list of parts would take forty times as much for parts of one byte
    packed = 0
    began = anyio.current_time()
    while part := await _part(response, began + GRACE + packed / SLOWEST):
        packed += len(part)
        for piece in unpack.pieces(part):
            found += piece
            if max(len(found), packed) > most:
                raise _too_large(most)
            await checkpoint()  # so that other tasks can run
    unpack.finish()
    return bytes(found)


async def _part(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    """Return the next bytes; none at the end."""
    try:
        with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
            return await response.content.readany()
    except TimeoutError as exc:
        raise Slow from exc


def check_listing(content: bytes) -> None:
    """Raise TooLarge for a listing of more than `ENTRIES` entries."""
    if max(content.count(mark) for mark in (b",", b"[", b"{")) > ENTRIES:
        raise TooLarge(f"lists more than {ENTRIES:,} entries; check that it is a Sumatra Server")


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"answers with more than {most >> 20} MiB, which no Sumatra Server does; check the address and any"
        " proxy in between"
    )


class _Unpacking:
    """Decompresses bytes that are compressed by *encoding*, in small pieces."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise aiohttp.ClientPayloadError("it has a compression that smtd did not ask for")
        self._is_packed = name not in ("", "identity")
        self._is_gzip = name.endswith("gzip")
        self._stream: zlib._Decompress | None = None

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Yield the decompressed bytes of *part*, in pieces. Raises aiohttp.ClientPayloadError if damaged."""
        if not self._is_packed:
            yield part
            return
        if self._stream is None:
            # Some servers omit the zlib header.
            bits = zlib.MAX_WBITS if part[0] & 15 == zlib.DEFLATED else -zlib.MAX_WBITS
            self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS if self._is_gzip else bits)
        while part:
            try:
                piece = self._stream.decompress(part, _STEP)
            except zlib.error as exc:
                raise aiohttp.ClientPayloadError("it cannot be decompressed") from exc
            yield piece
            part = self._stream.unconsumed_tail

    def finish(self) -> None:
        """Raise aiohttp.ClientPayloadError if the end is missing."""
        if self._stream is not None and not self._stream.eof:
            raise aiohttp.ClientPayloadError("it is cut off")
