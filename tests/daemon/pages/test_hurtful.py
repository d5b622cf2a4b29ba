"""Records made to hurt show as text on every page of the daemon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import PROJECT, full
from tests.daemon.pages.hurtful import LABEL, hurtful
from tests.daemon.pages.visitor import Visitor, address, keys
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import labels, put

pytestmark = pytest.mark.halved

#: What no page may have: markup of a record, and characters that control a terminal or a direction.
HURTS = re.compile(
    "<script>document|<img src=x|</textarea>|[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\u200b]"
)
OF_RECORD = {"pair": "pair", "project": PROJECT, "label": LABEL}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with a conflict of such records, and with some that it wrote."""
    directory = tmp_path_factory.mktemp("hurtful")
    left, right = directory / "left.sqlite", directory / "right.sqlite"
    put(left, hurtful(version="1111"), full("x"), hurtful(f"{LABEL}2"))
    put(right, hurtful(version="2222", reason="<b>other</b>\u202e"))
    assert LABEL in labels(left) & labels(right)  # a store may refuse what hurts it
    with daemon_process(directory, pair_of(left, right)) as made:
        made.wait_event(synced)
        yield made


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pair?name=pair",
        "/plan?pair=pair",
        "/decide",
        address("/decide", pair="pair", kind="conflict"),
        address("/decide/record", **OF_RECORD),
        address("/decide/record", **{**OF_RECORD, "label": f"{LABEL}2"}),
        "/history",
        "/cycle?number=1",
        "/undo?cycle=1",
        address("/decide/record", pair="\u202e<script>document", project="<img src=x", label="\x00"),
        address("/pair", name="<script>document\u202e"),
        address("/cycle", number="<script>document"),
    ],
)
def test_page_shows_hurtful_records_as_text(guest: Visitor, path: str) -> None:
    """And is no larger than others; `Visitor` checks that."""
    answer = guest.get(path)

    assert answer.status in (200, 400, 404)
    assert "bug" not in answer.text
    assert HURTS.search(answer.page) is None
    assert "49 %s" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/projects",
        address("/project", pair="pair", name=PROJECT),
        address("/project", pair="pair", name=PROJECT, q="<script>document"),
        address("/record", **OF_RECORD),
        address("/compare", pair="pair", project=PROJECT, label=LABEL) + "&label=x",
        address("/parameters", pair="pair", project=PROJECT),
        address("/data", path="<script>document\u202e"),
        address("/project", pair="<script>document\u202e", name="<img src=x"),
    ],
)
def test_page_of_records_shows_them_as_text(guest: Visitor, path: str) -> None:
    """Forms and addresses repeat exact labels and words, so only what people read is without controls."""
    answer = guest.get(path)

    assert answer.status in (200, 404)
    assert "bug" not in answer.text
    assert HURTS.search(re.sub('="[^"]*"', "", answer.page)) is None


@pytest.mark.slow
def test_hurtful_record_is_decided_by_its_exact_name(tmp_path: Path) -> None:
    """Whatever its label has; the label comes back from the form as it was."""
    left, right = tmp_path / "left.sqlite", tmp_path / "right.sqlite"
    put(left, hurtful(version="1111"), full("other", version="1111"))
    put(right, hurtful(version="2222"), full("other", version="2222"))
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.wait_event(lambda event: event.get("conflicts") == 2)
        visitor = Visitor(daemon)
        visitor.enter()
        listed = visitor.get("/decide")
        chosen = [value for _, value in keys((PROJECT, LABEL))]
        assert listed.page.count('name="key"') == 2
        fields = [("pair", "pair"), ("kind", "conflict"), ("choice", "left"), ("key", chosen[0])]

        seen = visitor.post("/decide/review", *fields)
        done = visitor.post("/decide/apply", *fields, ("plan", seen.hidden("plan")))

    assert HURTS.search(seen.page) is None
    assert done.text.startswith("Decided. Synced: 1 updated. 1 record still waits.")
    assert HURTS.search(done.page) is None


def test_many_conflicts_fit_into_a_page(tmp_path: Path) -> None:
    """Whose labels are as long as a store allows, and need an escape for each character."""
    left, right = tmp_path / "left.sqlite", tmp_path / "right.sqlite"
    names = [f"{number:02}" + "\u202e<" * 30 for number in range(60)]
    put(left, *[full(name, version="1111") for name in names])
    put(right, *[full(name, version="2222") for name in names])
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.wait_event(lambda event: event.get("conflicts") == 60)
        visitor = Visitor(daemon)
        visitor.enter()

        answer = visitor.get(address("/decide", pair="pair", kind="conflict"))
        seen = visitor.post(
            "/decide/review", ("pair", "pair"), ("kind", "conflict"), ("choice", "right"), ("all", "yes")
        )

    assert answer.status == seen.status == 200
