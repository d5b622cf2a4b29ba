"""A Sumatra Server on the left, on the right, and on both sides; with and without access."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreBusy
from smtd.records import canonical
from tests.build import PROJECT, full, key, tagged
from tests.command import NOTHING, Answer, Smtd, written
from tests.integration.mirror import Mirror
from tests.peers import line as faults
from tests.peers.environments import Environment, environment
from tests.peers.line import line_to
from tests.peers.server import PASSWORD, SumatraServer, at_the_resolution_of_a_server, serving
from tests.peers.stores import Kind, PeerStore
from tests.sampling import SOAK
from tests.stores.server_place import ServerPlace

#: Finished records of the rich shelf that a server can hold.
HELD = 58
#: Every how many of them go on to another server; other tests send all of them to a server and back.
EVERY = 1 if SOAK else 8


def address(server: SumatraServer, user: str = "ada") -> str:
    return server.url.replace("://", f"://{user}:{PASSWORD}@")


def ordered(server: str, other: str, side: str) -> tuple[str, str]:
    """Return the two with the server on *side*."""
    return (server, other) if side == "left" else (other, server)


@pytest.fixture(scope="module")
def running_other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SumatraServer]:
    with serving(environment("server"), tmp_path_factory.mktemp("other-server"), careless=True) as server:
        yield server


@pytest.fixture
def other_server(running_other_server: SumatraServer) -> SumatraServer:
    """Another server without any records."""
    running_other_server.clear()
    return running_other_server


@pytest.fixture
def source(
    made_rich_shelf: Path,
    rich_server: tuple[Path, Answer],
    server: SumatraServer,
    django_environment: Environment,
) -> Any:
    """What Sumatra sees in a shelf whose records the server has, as far as it can."""
    server.load_from(rich_server[0])
    seen = PeerStore(django_environment, "shelf", made_rich_shelf).dump()["MyProject"]
    return {label: at_the_resolution_of_a_server(one) for label, one in seen.items()}


@pytest.mark.parametrize("side", ["left", pytest.param("right", marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param("shelf", "new.shelf", marks=pytest.mark.soak), ("django", "new.sqlite")]
)
def test_records_from_a_server_equal_those_sent_there(
    kind: Kind,
    name: str,
    side: str,
    source: Any,
    server: SumatraServer,
    smtd: Smtd,
    django_environment: Environment,
    tmp_path: Path,
) -> None:
    """In a store of any kind, whichever side the server is on; a second sync writes nothing."""
    store = PeerStore(django_environment, kind, tmp_path / name)
    store.make_many("Other", 1)
    words = (*ordered(address(server), name, side), "--project", "MyProject")

    first = smtd.sync(*words)
    second = smtd.sync(*words)

    target = "right" if side == "left" else "left"
    assert written(first) == NOTHING | {target: (HELD, 0, 0)}
    assert written(second) == NOTHING
    assert (first["failed"], second["in_sync"]) == ([], HELD)
    seen = store.dump()["MyProject"]
    assert len(seen) == HELD
    for label, one in seen.items():
        assert at_the_resolution_of_a_server(one) == source[label], label


def test_records_are_copied_from_server_to_server(
    source: Any,
    server: SumatraServer,
    other_server: SumatraServer,
    smtd: Smtd,
    django_environment: Environment,
    tmp_path: Path,
) -> None:
    """Both have the same afterwards for Sumatra's own client, and a second sync writes nothing."""
    labels = [label for (label,) in server.run("SELECT label FROM django_store_record ORDER BY label")]
    for label in set(labels) - set(labels[::EVERY]):
        server.run("DELETE FROM django_store_record WHERE label = ?", label)
    first = smtd.sync(address(server), address(other_server))
    second = smtd.sync(address(server), address(other_server))

    assert written(first) == NOTHING | {"right": (len(labels[::EVERY]), 0, 0)}
    assert written(second) == NOTHING
    seen = other_server.seen_by_sumatra("MyProject", django_environment, tmp_path)
    assert sorted(seen) == labels[::EVERY]
    for label, one in seen.items():
        assert at_the_resolution_of_a_server(one) == source[label], label


@pytest.mark.parametrize("side", ["left", "right"])
async def test_one_way_pair_never_writes_to_its_source(
    side: str, server: SumatraServer, smtd: Smtd, tmp_path: Path
) -> None:
    """Whether the server is the source or the target."""
    place = ServerPlace(server)
    await place.put(full("there"))
    smtd.sync(address(server), "other.sqlite")
    await place.put(full("new-there"))
    before = len(server.requests())
    stores = ordered(address(server), "other.sqlite", side)

    pair = smtd.sync(*stores, "--mode", "left-to-right")

    asked = server.requests()[before:]
    assert [line for line in asked if not line.startswith("GET")] == []
    assert written(pair) == (NOTHING | {"right": (1, 0, 0)} if side == "left" else NOTHING)


async def test_missing_project_on_a_server_is_created_when_needed(server: SumatraServer, smtd: Smtd) -> None:
    """When there is a record for it, and not before."""
    await ServerPlace(server).put(full("run"), project="Old")
    smtd.sync(address(server), "other.sqlite")

    answer = smtd("sync", "--json", "other.sqlite", address(server), "--project", "New")
    assert written(json.loads(answer.out)["pairs"][0]) == NOTHING
    assert "New" in answer.err
    assert server.run("SELECT id FROM django_store_project") == [("Old",)]


@pytest.mark.parametrize(
    ("words", "code"), [((), 1), (("--project", PROJECT), 4)], ids=["all projects", "the project"]
)
async def test_user_without_access_to_a_project_gets_its_name_and_the_next_step(
    words: tuple[str, ...], code: int, server: SumatraServer, smtd: Smtd
) -> None:
    """A sync of all projects reports it for each record."""
    await ServerPlace(server).put(full("run"))
    smtd.sync(address(server), "other.sqlite")

    answer = smtd("sync", address(server, "bob"), "other.sqlite", *words, "--json")

    assert answer.code == code
    told = "denies this user access to project 'MyProject'; ask its owner for access"
    assert told in answer.out + answer.err
    assert smtd("list", "other.sqlite").out.count("MyProject") == 1


@pytest.mark.parametrize("words", [(), ("--project", PROJECT)], ids=["all projects", "the project"])
async def test_anonymous_client_is_asked_for_a_user_and_password(
    words: tuple[str, ...], server: SumatraServer, smtd: Smtd
) -> None:
    """A project that is not public is neither read nor created."""
    await ServerPlace(server).put(full("run"))
    smtd.sync(address(server), "other.sqlite")
    server.clear() if not words else None

    answer = smtd("sync", "other.sqlite", server.url, *words)

    assert answer.code == 4
    assert "failed: it needs a user and a password; set username and password_command in the" in answer.err


@pytest.mark.parametrize("answered", [1, 2, 3])
async def test_server_that_fails_between_listing_and_reading_deletes_nothing(
    answered: int, server: SumatraServer, tmp_path: Path
) -> None:
    """Unread records are not absent: nothing is deleted or written, and a later cycle syncs them."""
    mirror = Mirror(ServerPlace(server), tmp_path / "state")
    for label in ("one", "other", "third"):
        mirror.local.put(PROJECT, full(label))
    await mirror.cycle()
    await mirror.place.put(full("new"), tagged(full("one"), "there"))
    before = dict(mirror.local.records)

    async with line_to(f"http://127.0.0.1:{server.port}") as line:
        line.faults = dict.fromkeys(range(answered + 1, 100), faults.status(503, Retry_After="3600"))
        mirror.place.location = replace(mirror.place.direct, url=f"{line.url}/records/")
        with pytest.raises(StoreBusy) as busy:
            await mirror.cycle(verify_within=1e-9)
    assert busy.value.retry_after == pytest.approx(3600, abs=60)
    assert mirror.local.records == before

    mirror.place.location = mirror.place.direct
    report = await mirror.cycle(verify_within=1e-9)

    assert report.ok
    assert set(mirror.local.records) == {key(label) for label in ("one", "other", "third", "new")}
    assert "there" in mirror.local.records[key("one")].tags


async def test_record_recreated_on_the_server_is_copied(server: SumatraServer, tmp_path: Path) -> None:
    """Another run under the same label is a change like any other; the old one is in the history."""
    mirror = Mirror(ServerPlace(server), tmp_path / "state")
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    await mirror.place.remove("run")
    await mirror.place.put(full("run", stdout_stderr="another run", version="0123abc"))

    report = await mirror.cycle(verify_within=1e-9)

    assert (report.ok, report.left.updated) == (True, 1)
    assert canonical.digest(mirror.local.records[key("run")]) == canonical.digest(
        full("run", stdout_stderr="another run", version="0123abc")
    )
    assert (await mirror.cycle()).ok
