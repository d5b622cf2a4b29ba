"""Two daemons that mirror their stores to one server: what changes on one machine comes to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.build import commented, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, wait_until
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD
from tests.stores.places import DjangoPlace


@pytest.fixture
def places(tmp_path: Path) -> list[DjangoPlace]:
    """The stores of two machines, which have one record in common."""
    made = [DjangoPlace(tmp_path / f"{name}.sqlite") for name in ("one", "two")]
    for each in made:
        anyio.run(each.put, record("kept"))
    return made


@pytest.fixture
def laptops(
    tmp_path: Path, places: list[DjangoPlace], server: ServerProcess
) -> Iterator[list[DaemonProcess]]:
    """Two machines, whose daemons ask the server once an hour unless it tells them of a change."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        daemon_process(tmp_path / "one", _mirror(places[0].path, server)) as one,
        daemon_process(tmp_path / "two", _mirror(places[1].path, server)) as two,
    ):
        yield [one, two]


def _mirror(store: Path, server: ServerProcess) -> str:
    secret = store.with_suffix(".password")
    secret.touch(0o600)
    secret.write_text(PASSWORD, "utf-8")
    more = f'[stores.right]\nusername = "ada"\npassword_file = "{secret}"\npoll_interval = "1h"'
    return pair_of(store, f"{server.root}records/").replace("[stores.right]", more)


def outcomes(place: DjangoPlace) -> dict[str, str]:
    """Return the outcome of each record at *place*, by its label."""
    return dict(place.run("SELECT label, outcome FROM django_store_record"))


def test_change_on_one_machine_comes_to_the_other(
    tmp_path: Path, places: list[DjangoPlace], laptops: list[DaemonProcess]
) -> None:
    """New records, edits and deletions, without a poll."""
    one, two = places

    anyio.run(one.put, record("run"))
    wait_until(lambda: set(outcomes(two)) == {"run", "kept"})

    anyio.run(two.put, commented(record("run"), "seen on the other machine"))
    wait_until(lambda: "seen on the other machine" in outcomes(one)["run"])

    anyio.run(one.remove, "kept")
    wait_until(lambda: set(outcomes(two)) == {"run"})
    assert "seen on the other machine" in outcomes(two)["run"]
