"""A person at a browser, whom nothing about a page escapes.

CSP reports, errors of scripts, requests to other hosts, pages above 100 kB: `close` makes each an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    expect,
)

from tests.server.served import PASSWORD

#: The most bytes of a page.
LARGEST = 100_000
#: Milliseconds until a step of a test fails.
PATIENCE = 10_000
DESKTOP, TELEPHONE = (1280, 900), (390, 800)
#: Reports what the policy of a page has stopped where the test can read it.
_REPORT = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("CSP", event.violatedDirective, event.blockedURI));
"""
_RUN_AXE = '() => axe.run({resultTypes: ["violations"]})'
#: Chromium's arguments: it runs as root, in a container, and asks its maker nothing.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)


@cache
def _axe() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


class Person:
    """Somebody who looks at the site at *root*, at one *page*."""

    def __init__(self, page: Page, root: str) -> None:
        self.page = page
        self.root = root
        self.problems: list[str] = []
        page.on("console", self._read_console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("request", self._see_request)
        page.on("response", self._weigh)
        page.on("dialog", self._dismiss)

    def _read_console(self, message: ConsoleMessage) -> None:
        # A form that is refused is an error to Chromium, too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _see_request(self, request: Request) -> None:
        if not request.url.startswith((self.root, "data:")):
            self.problems.append(f"request to {request.url}")

    def _weigh(self, response: Response) -> None:
        size = int(response.headers.get("content-length", 0))
        if response.headers.get("content-type", "").startswith("text/html") and size > LARGEST:
            self.problems.append(f"{response.url} has {size:,} bytes")

    def _dismiss(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def log_in(self, name: str) -> None:
        """Log in from the first page."""
        self.page.goto(self.root)
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    def open(self, path: str) -> int:
        """Open *path*, again as long as the page says that it may lack records; return the status."""
        deadline = time.monotonic() + PATIENCE / 1000
        while True:
            answer = self.page.goto(f"{self.root}{path.removeprefix('/')}")
            assert answer is not None
            if "be missing below" not in self.page.content() or time.monotonic() > deadline:
                return answer.status

    def click(self, name: str, role: str = "link") -> None:
        """Click what is called *name*."""
        self.page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]

    @property
    def heading(self) -> str:
        """The one heading of the first level."""
        return self.page.get_by_role("heading", level=1).inner_text()

    @property
    def path(self) -> str:
        """The path of the address."""
        return urlsplit(self.page.url).path

    @property
    def text(self) -> str:
        """All that the page shows."""
        return self.page.locator("main").inner_text()

    def barriers(self) -> list[str]:
        """Return what keeps people from using the page, as axe finds it, and whether it is too wide."""
        self.page.evaluate(_axe())
        found = self.page.evaluate(_RUN_AXE)["violations"]
        told = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]
        if self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            told.append("the page is wider than the window")
        return told


@contextmanager
def person(
    browser: Browser,
    root: str,
    size: tuple[int, int] = DESKTOP,
    *,
    dark: bool = False,
    scripts: bool = True,
    cookies: Sequence[Any] = (),
) -> Iterator[Person]:
    """Give a person with a browser of their own for a `with` block; check what they noticed at its end.

    With *cookies* they have logged in before.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script(_REPORT)
    context.add_cookies(cookies)
    someone = Person(context.new_page(), root)
    yield someone
    context.close()
    assert someone.problems == []
