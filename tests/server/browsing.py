"""What a browser sends to the pages of a server, without a browser."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tests.server.served import PASSWORD


@dataclass
class Browser:
    """What keeps cookies, as a browser does, and follows no redirect."""

    root: str
    session: aiohttp.ClientSession

    async def get(self, path: str = "", **headers: str) -> aiohttp.ClientResponse:
        return await self.session.get(f"{self.root}{path}", headers=headers, allow_redirects=False)

    async def page(self, path: str, **query: str) -> str:
        """Return the page at *path*, which must be there."""
        address = URL(f"{self.root}{path}?{urlencode(query)}", encoded=True)
        async with self.session.get(address, allow_redirects=False) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def form(self, path: str, **query: str) -> dict[str, str]:
        """Return the hidden fields of the last form of the page at *path*."""
        parts = (await self.page(path, **query)).rpartition("<form")[2].split('<input type="hidden" ')[1:]
        fields = (part.partition(">")[0].split('"') for part in parts)
        return {words[1]: words[3] for words in fields}

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> aiohttp.ClientResponse:
        found = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.root}{path}"
        return await self.session.post(url, data=fields, headers=found, allow_redirects=False)

    async def log_in(self, name: str, password: str = PASSWORD, **fields: str) -> aiohttp.ClientResponse:
        return await self.post("login", {"name": name, "password": password, **fields})
