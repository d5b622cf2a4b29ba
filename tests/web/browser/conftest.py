"""A real browser: one for each module, as no other test may have an event loop beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.server.process import ServerProcess, server_process
from tests.web import chromium
from tests.web.filling import Filler
from tests.web.person import ARGUMENTS, Person, person


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium.program(), args=[*ARGUMENTS])
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server as a process of its own, for all tests of a module."""
    with server_process(tmp_path_factory.mktemp("pages") / "server") as made:
        yield made


@pytest.fixture(scope="module")
def ada(server: ServerProcess) -> Filler:
    """A user who puts records on the server by its API."""
    return Filler(server.root, "ada")


@pytest.fixture
def visitor(browser: Browser, server: ServerProcess) -> Callable[..., AbstractContextManager[Person]]:
    """Return what gives a person who looks at the server; see `person`."""
    return partial(person, browser, server.root)


@pytest.fixture(scope="module")
def session(browser: Browser, server: ServerProcess) -> list[Any]:
    """The cookies of ada, who logged in before the tests."""
    with person(browser, server.root) as made:
        made.log_in("ada")
        return list(made.page.context.cookies())


@pytest.fixture
def someone(visitor: Callable[..., AbstractContextManager[Person]], session: list[Any]) -> Iterator[Person]:
    """The user ada, logged in."""
    with visitor(cookies=session) as made:
        yield made
