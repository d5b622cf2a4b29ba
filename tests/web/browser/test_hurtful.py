"""Records made to hurt are text on every page, and every page is open to everybody who reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode

import pytest

from smtd.records.record import DataKey, Dependency, Executable, Parameters, Platform, Record, Repository
from tests.build import MOMENT, change, record
from tests.web.filling import Filler
from tests.web.person import DESKTOP, TELEPHONE, Person

pytestmark = pytest.mark.halved

#: Markup, a script, an attribute that ends, a control sequence, reversed text.
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onfocus=alert(3) \x1b[31m\u202eevil"
LABEL = "x<script>alert(0)</script>\u202e"
PROJECT = "Hurtful"


def hurtful(label: str = LABEL) -> Record:
    """Return a record with harm in every field, and 5 MB of output."""
    return record(
        label,
        reason=EVIL,
        outcome=f"{EVIL}\n{EVIL}",
        executable=Executable(EVIL, EVIL, EVIL, EVIL),
        repository=Repository("GitRepository", EVIL, f"javascript:{EVIL}"),
        main_file=EVIL,
        version=EVIL,
        script_arguments=EVIL,
        parameters=Parameters(
            "JSONParameterSet", '{"</td><script>alert(4)</script>": "\\u202e<b>\\u001b[2J"}'
        ),
        input_data=(DataKey(EVIL, "0" * 40, MOMENT),),
        output_data=tuple(DataKey(f"{EVIL}{number}", "0" * 40, MOMENT) for number in range(300)),
        tags=frozenset({"_finished_", "<b>tag</b>", "\u202etag"}),
        diff="@@ -1 +1 @@\n-<script>alert(5)</script>\n+\u202e\x1b[31m\n" * 5000,
        user=EVIL,
        dependencies=tuple(Dependency("python", f"{EVIL}{n}", EVIL, EVIL, f"+{EVIL}") for n in range(200)),
        platforms=(Platform(network_name=EVIL, ip_addr=EVIL, system_name=EVIL),),
        stdout_stderr=f"{EVIL}\r\n" * 50_000,
    )


@pytest.fixture(scope="module")
def hurt(ada: Filler) -> Filler:
    """A project with two such records."""
    ada.make(PROJECT, name=EVIL[:190], description=EVIL)
    ada.put_all([hurtful(), change(hurtful("other<b>"), stdout_stderr="", output_data=(), diff="")], PROJECT)
    return ada


PAGES = {
    "projects": "/",
    "project": f"/project?{urlencode({'name': PROJECT})}",
    "nothing found": f"/project?{urlencode({'name': PROJECT, 'q': EVIL})}",
    "record": f"/record?{urlencode({'project': PROJECT, 'label': LABEL})}",
    "compare": f"/compare?{urlencode({'project': PROJECT, 'label': [LABEL, 'other<b>']}, doseq=True)}",
    "parameters": f"/parameters?{urlencode({'project': PROJECT})}",
    "data": f"/data?{urlencode({'path': EVIL})}",
    "edit": f"/record/edit?{urlencode({'project': PROJECT, 'label': LABEL})}",
    "delete": f"/record/delete?{urlencode({'project': PROJECT, 'label': LABEL})}",
    "edit project": f"/project/edit?{urlencode({'project': PROJECT})}",
    "no such project": f"/project?{urlencode({'name': EVIL})}",
}


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_harm_is_text(hurt: Filler, someone: Person, path: str) -> None:
    """No script runs, nothing is loaded, no direction is changed, and the page stays small."""
    someone.open(path)

    assert someone.page.locator("main :is(script, img, b)").count() == 0
    assert "\x1b" not in someone.text
    assert "\u202e" not in someone.text


@pytest.mark.parametrize(
    ("size", "dark"),
    [pytest.param(DESKTOP, False, marks=pytest.mark.soak), (TELEPHONE, True)],
    ids=["desktop, light", "telephone, dark"],
)
@pytest.mark.slow
def test_everybody_can_use_every_page(
    hurt: Filler,
    visitor: Callable[..., AbstractContextManager[Person]],
    session: list[Any],
    size: tuple[int, int],
    *,
    dark: bool,
) -> None:
    """As far as axe can tell; no page is wider than the window."""
    found = {}
    with visitor(size, dark=dark) as someone:
        someone.open("/login")
        found["login"] = someone.barriers()
        someone.page.context.add_cookies(session)
        for name, path in PAGES.items():
            someone.open(path)
            found[name] = someone.barriers()

    assert {name: told for name, told in found.items() if told} == {}


def test_large_text_fits_into_the_window(hurt: Filler, someone: Person) -> None:
    """At 200 % of its size, in a small window."""
    someone.page.set_viewport_size({"width": 640, "height": 800})
    for path in PAGES.values():
        someone.open(path)
        someone.page.evaluate("document.documentElement.style.fontSize = '200%'")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not someone.page.evaluate(wide), path


def test_all_of_the_output_is_a_file_of_text(hurt: Filler, someone: Person) -> None:
    """Which no browser takes for a page."""
    someone.open(PAGES["record"])
    with someone.page.expect_download() as waiting:
        someone.click("Download all of the output")

    download = waiting.value
    assert download.suggested_filename == "stdout.txt"
    assert download.path().read_bytes() == (EVIL + "\r\n").encode() * 50_000
