"""The body of an answer, within limits that a server cannot exceed by mistake or malice."""

from __future__ import annotations

import aiohttp

from smtd import http_body
from smtd.errors import StoreUnreachable

#: The most bytes of a listing: 100,000 records with the longest labels. The most bytes of one record: all
#: that the server accepts (2.5 MB), with each character escaped.
LISTING, DOCUMENT = 32 * 2**20, 16 * 2**20
#: The most entries of a listing. In memory an entry takes some fifty times as much as in JSON.
ENTRIES = 1_000_000


class TooLarge(StoreUnreachable):
    """An answer is larger than any that a server should give."""


async def body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of *response*, decompressed.

    Raises TooLarge, without the server's name, for more than *most* bytes, Slow, and aiohttp.ClientError.
    """
    try:
        return await http_body.read(response, most)
    except http_body.BodyTooLarge:
        raise TooLarge(
            f"answers with more than {most >> 20} MiB, which no Sumatra Server does; check the address and"
            " any proxy in between"
        ) from None
    except http_body.UnknownCompression as exc:
        raise aiohttp.ClientPayloadError("it has a compression that smtd did not ask for") from exc
    except http_body.BadCompression as exc:
        raise aiohttp.ClientPayloadError(str(exc)) from exc


def check_listing(content: bytes) -> None:
    """Raise TooLarge for a listing of more than `ENTRIES` entries."""
    if max(content.count(sign) for sign in (b",", b"[", b"{")) > ENTRIES:
        raise TooLarge(f"lists more than {ENTRIES:,} entries; check that it is a Sumatra Server")
