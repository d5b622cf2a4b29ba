"""The pages of the daemon in a real browser, as its user goes through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
from playwright.sync_api import Browser, expect

from tests.build import OUTPUT, PROJECT, change, commented, full
from tests.daemon import sqlite_stores
from tests.daemon.pages.hurtful import LABEL, hurtful
from tests.daemon.pages.visitor import address, keys
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.web.person import TELEPHONE, Person, person

RUNS = [full(f"run-{number:02}") for number in range(30)]
PAGES = (
    "/",
    "/pair?name=pair",
    "/plan?pair=pair",
    "/decide",
    "/decide?pair=pair&kind=conflict",
    address("/decide/record", pair="pair", project=PROJECT, label="run-00"),
    address("/decide/record", pair="pair", project=PROJECT, label=LABEL),
    "/history",
    "/cycle?number=1",
    "/undo?cycle=1",
    "/projects",
    address("/project", pair="pair", name=PROJECT),
    address("/record", pair="pair", project=PROJECT, label="run-00"),
    address("/record", pair="pair", project=PROJECT, label=LABEL),
    address("/compare", pair="pair", project=PROJECT, label=LABEL) + "&label=run-01",
    address("/parameters", pair="pair", project=PROJECT),
    address("/data", pair="pair", path=OUTPUT.path),
    address("/record/edit", pair="pair", project=PROJECT, label=LABEL),
    "/nowhere",
)
Visiting = Callable[..., AbstractContextManager[Person]]
P = ParamSpec("P")
T = TypeVar("T")


def beside(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* run in a thread of its own: the browser has an event loop in this one."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(function, *args, **kwargs).result()

    return run


held, labels = beside(sqlite_stores.held), beside(sqlite_stores.labels)
put, write = beside(sqlite_stores.put), beside(sqlite_stores.write)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    put(tmp_path / "left.sqlite", *RUNS, hurtful(version="1111"))
    return tmp_path / "left.sqlite"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    put(tmp_path / "right.sqlite", hurtful(version="2222"))
    return tmp_path / "right.sqlite"


@pytest.fixture
def daemon(tmp_path: Path, left: Path, right: Path) -> Iterator[DaemonProcess]:
    """A daemon whose pair has a conflict about run-00, with an ancestor, and one of hurtful records."""
    with daemon_process(tmp_path, pair_of(left, right)) as made:
        made.wait_event(synced)
        made.ctl("pause", "pair")
        write(left, change(RUNS[0], version="left-version"))
        write(right, change(RUNS[0], version="right-version"))
        made.ctl("resume", "pair")
        made.wait_event(lambda event: event.get("conflicts") == 2)
        yield made


@pytest.fixture
def visiting(browser: Browser, daemon: DaemonProcess) -> Visiting:
    """Return what gives a person who has opened the link of the daemon."""

    @contextmanager
    def visiting(**how: object) -> Iterator[Person]:
        link = daemon.ctl("web", "--print").out.strip()
        root, _, opening = link.partition("open?")
        with person(browser, root, **how) as made:  # type: ignore[arg-type]
            assert made.open(f"open?{opening}") == 200
            yield made

    return visiting


def test_whole_way_of_a_person(visiting: Visiting, daemon: DaemonProcess, left: Path, right: Path) -> None:
    """A pair offline and back, a conflict with its ancestor, held deletions by keyboard, and undo."""
    with visiting() as someone:
        page = someone.page
        expect(page.locator("[data-live-word]")).to_have_text("live")

        left.rename(left.with_name("away"))
        expect(page.locator(".card .status")).to_have_text("offline")
        expect(page.get_by_text("A store cannot be reached.")).to_be_visible()
        left.with_name("away").rename(left)
        expect(page.locator(".card .status")).to_have_text("idle")

        page.locator(".need a").first.click()
        someone.click("run-00")
        row = page.get_by_role("row", name="version")
        expect(row.locator("ins").first).to_have_text("+ left-version")
        expect(row.locator("td").nth(1)).to_have_text(RUNS[0].version or "")
        someone.click("Take right", "button")
        expect(page.get_by_role("row", name="run-00")).to_contain_text("is overwritten on the left")
        someone.click("Do this", "button")
        expect(page.locator(".notice")).to_contain_text("Decided. Synced: 1 updated.")
        assert held(left)["run-00"].version == held(right)["run-00"].version == "right-version"

        write(left, deleted=[f"run-{number:02}" for number in range(1, 26)])
        daemon.wait_event(lambda event: event.get("held") == 25)
        page.reload()
        box = page.get_by_label("All 25 of them")
        box.focus()
        page.keyboard.press("Space")
        expect(box).to_be_checked()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(
            page.get_by_text("25 deletions: the records come back where they disappeared.")
        ).to_be_visible()
        page.get_by_role("button", name="Do this").press("Enter")
        expect(page.locator(".notice")).to_contain_text("Synced: 25 created.")
        assert "run-07" in labels(left)

        someone.click("History")
        page.get_by_role("link", name="Cycle").first.click()
        someone.click("Undo this cycle…")
        expect(page.get_by_role("row", name="run-07")).to_contain_text("is deleted on the left")
        someone.click("Undo the cycle", "button")
        expect(page.locator(".notice")).to_contain_text("is undone: 25 records.")
        assert "run-07" not in labels(left)
        assert "run-07" in labels(right)


@pytest.mark.parametrize(
    ("size", "dark"),
    [((1280, 900), True), pytest.param(TELEPHONE, False, marks=pytest.mark.soak)],
    ids=["wide", "telephone"],
)
@pytest.mark.slow
def test_every_page_is_open_to_everybody(visiting: Visiting, size: tuple[int, int], dark: bool) -> None:
    """By axe, in the dark and by day, on a telephone; the page of hurtful records, too."""
    with visiting(size=size, dark=dark) as someone:
        found = {path: someone.barriers() for path in PAGES if someone.open(path)}
        assert {path: told for path, told in found.items() if told} == {}
        assert someone.page.title() != "hurt"


@pytest.mark.slow
def test_page_before_a_decision_is_open_to_everybody(visiting: Visiting) -> None:
    """With text of twice the size, too."""
    with visiting() as someone:
        someone.open("/decide")
        someone.page.get_by_label("run-00").check()
        someone.click("Keep both", "button")
        assert someone.heading == "What will happen"
        assert someone.barriers() == []

    with visiting(size=TELEPHONE) as someone:
        for path in PAGES:
            someone.open(path)
            someone.page.evaluate("document.documentElement.style.fontSize = '200%'")
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not someone.page.evaluate(wide), path


@pytest.mark.slow
def test_records_of_a_pair_are_found_read_and_compared(visiting: Visiting, left: Path) -> None:
    """From the menu to a record and its two sides; the table tells of a record that has just come."""
    with visiting() as someone:
        someone.click("Records")
        someone.click(PROJECT)
        someone.open(someone.page.url.removeprefix(someone.root))
        someone.page.get_by_label("Search in label").fill("run-07")
        someone.click("Search", "button")
        expect(someone.page.get_by_text("1 record found.")).to_be_visible()
        someone.click("run-07")
        assert "On both sides of pair" in someone.text
        someone.click("Both sides field by field")
        someone.click("The whole record")
        assert someone.heading == "run-07"

        someone.click(PROJECT)
        write(left, full("just-now"))
        expect(someone.page.get_by_text("1 new record: show it")).to_be_visible()
        someone.page.get_by_text("1 new record: show it").click()
        someone.page.get_by_label("Compare just-now").check()
        someone.page.get_by_label("Compare run-00").check()
        someone.click("Compare the marked records", "button")
        assert someone.heading == "What differs between 2 records"


def test_everything_works_without_scripts(visiting: Visiting, daemon: DaemonProcess, right: Path) -> None:
    """Pausing, and a decision; nothing is live then, and the page says so."""
    with visiting(scripts=False) as someone:
        page = someone.page
        expect(page.locator(".live")).to_have_text("Updates: reload the page")
        someone.click("Pause pair", "button")
        expect(page.locator(".card .status")).to_have_text("paused")
        someone.open("/decide")
        page.locator(f"input[value='{keys((PROJECT, 'run-00'))[0][1]}']").check()
        someone.click("Take left", "button")
        someone.click("Do this", "button")
        expect(page.locator(".notice")).to_contain_text("Decided.")

    assert held(right)["run-00"].version == "left-version"


@pytest.mark.slow
def test_double_click_sends_a_form_once(visiting: Visiting, daemon: DaemonProcess, left: Path) -> None:
    """And the person sees what it did, not that it was done already."""
    write(left, commented(held(left)["run-09"], "more"))
    with visiting() as someone:
        someone.open("/decide")
        someone.page.get_by_label("run-00").check()
        someone.click("Take left", "button")
        someone.page.get_by_role("button", name="Do this").dblclick(no_wait_after=True)
        expect(someone.page.locator(".notice")).to_contain_text("Decided. Synced: 1 updated.")
