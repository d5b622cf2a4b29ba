"""A browser without JavaScript that visits the pages of a real daemon, and what it reads there."""

from __future__ import annotations

import html
import http.client
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tests.daemon.process import DaemonProcess

#: The most bytes of a page.
LARGEST = 100_000


@dataclass(frozen=True)
class Seen:
    """An answer: its *status*, where it leads to, its headers, and the page as it was sent."""

    status: int
    location: str
    headers: dict[str, str]
    page: str

    @property
    def text(self) -> str:
        """What a person reads in the page, on one line."""
        main = self.page.partition("<main")[2].partition("</main>")[0].partition(">")[2]
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())

    def hidden(self, name: str) -> str:
        """Return the value of the first hidden field *name* of a form."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        assert found, f"there is no field {name}: {self.text}"
        return html.unescape(found[1])


class Visitor:
    """Keeps the cookies of one person, and follows a redirect after a form."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.link = daemon.ctl("web", "--print").out.strip()
        self.port = urlsplit(self.link).port or 0
        self.cookie = ""
        self.token = ""

    def enter(self) -> Seen:
        """Open the link; return the first page."""
        parts = urlsplit(self.link)
        opened = self.get(f"{parts.path}?{parts.query}")
        assert opened.status == 303, opened.text
        first = self.get(opened.location)
        self.token = first.hidden("token") if 'name="token"' in first.page else ""
        return first

    def get(self, path: str, **headers: str) -> Seen:
        """Return the answer to a request for *path*."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, *fields: tuple[str, str], token: str | None = None, **headers: str) -> Seen:
        """Send a form, and return the answer, or the page that it leads to."""
        sent = [("token", self.token if token is None else token), *fields]
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        answer = self._ask("POST", path, urlencode(sent).encode(), headers)
        return self.get(answer.location) if answer.status == 303 else answer

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Seen:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            given["Cookie"] = self.cookie
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            page = answer.read().decode()
        finally:
            connection.close()
        if found.get("set-cookie", "").startswith(f"smtd_{self.port}="):
            self.cookie = found["set-cookie"].partition(";")[0]
        assert len(page) <= LARGEST or "text/html" not in found.get("content-type", ""), path
        return Seen(answer.status, found.get("location", ""), found, page)


def address(path: str, /, **query: str) -> str:
    """Return *path* with a query."""
    return f"{path}?{urlencode(query)}"


def keys(*pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Return the fields of a form for the keys *pairs*, each a project and a label."""
    import json

    return [("key", json.dumps(list(pair))) for pair in pairs]
