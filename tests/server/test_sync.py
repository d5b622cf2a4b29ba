"""`smtd sync` with smtd's own server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from anyio import to_thread

from tests.build import commented, full, key, record
from tests.command import NOTHING, Smtd, written
from tests.server import other_digests
from tests.server.place import ServedPlace
from tests.server.process import ServerProcess, server_process
from tests.server.test_foreign_writes import copied
from tests.server.waiting import in_thread
from tests.servers.process import free_port
from tests.stores.places import dumb_place


async def test_shelf_and_server_become_the_same(tmp_path: Path, smtd: Smtd, server: ServerProcess) -> None:
    """New records, edits and deletions, in both directions; and then nothing more."""
    shelf, place = dumb_place(tmp_path / "shelf"), ServedPlace(server)
    await shelf.put(full("here"), record("kept"))
    await place.put(full("there"))

    async def sync() -> dict[str, tuple[int, int, int]]:
        address = server.address.replace("ada:", "root:")
        words = (tmp_path / "shelf.dat", address, "--verify", "--project", "*")
        return written(await to_thread.run_sync(lambda: smtd.sync(*words)))

    assert await sync() == {"left": (1, 0, 0), "right": (2, 0, 0)}
    assert await sync() == NOTHING

    await shelf.put(commented(full("here"), "of the shelf"))
    await place.put(commented(full("there"), "of the server"))
    await place.remove("kept")
    assert await sync() == {"left": (0, 1, 1), "right": (0, 1, 0)}
    assert await sync() == NOTHING

    async with shelf.open() as left, place.open() as right:
        seen = [await store.scan() for store in (left, right)]
    assert seen[0].digests == seen[1].digests
    assert set(seen[0].digests) == {key("here"), key("there")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server, as a process of its own, which has the same address when it restarts."""
    with server_process(tmp_path / "lab", f"[server]\nlisten = '127.0.0.1:{free_port()}'\n") as made:
        yield made


async def test_first_sync_makes_one_request_for_all_records(
    tmp_path: Path, smtd: Smtd, server: ServerProcess
) -> None:
    """The server answers what it has read back of each, so that nothing is asked once more."""
    local = dumb_place(tmp_path / "shelf")
    await local.put(*(record(f"run-{number}") for number in range(60)))
    before = await to_thread.run_sync(requests, server)

    done = await to_thread.run_sync(lambda: smtd.sync(tmp_path / "shelf.dat", server.address))

    assert written(done) == {"left": (0, 0, 0), "right": (60, 0, 0)}
    made = await to_thread.run_sync(requests, server)
    assert made["POST"] - before["POST"] == 2  # the first one is empty: is it a server of smtd?
    assert made["GET"] - before["GET"] <= 7


def requests(server: ServerProcess) -> Counter[str]:
    """Return how many requests the server has answered, by method."""
    with urlopen(f"{server.root}metrics") as answer:
        figures = answer.read().decode()
    found = re.findall(r'^smtd_server_requests_total\{method="(\w+)".*\} (\S+)', figures, re.MULTILINE)
    made = Counter[str]()
    for method, count in found:
        made[method] += int(float(count))
    return made


@pytest.mark.slow
async def test_server_that_was_restored_loses_no_record(
    tmp_path: Path, smtd: Smtd, server: ServerProcess
) -> None:
    """What came after the backup is on the laptop: it goes back to the server, and nothing is deleted."""
    local = dumb_place(tmp_path / "shelf")
    await local.put(record("before"), record("edited"))

    async def sync() -> dict[str, tuple[int, int, int]]:
        return written(await to_thread.run_sync(lambda: smtd.sync(tmp_path / "shelf.dat", server.address)))

    assert await sync() == {"left": (0, 0, 0), "right": (2, 0, 0)}
    await to_thread.run_sync(copied, server.store, tmp_path / "backup")
    await local.put(record("after"), commented(record("edited"), "more"))
    assert await sync() == {"left": (0, 0, 0), "right": (1, 1, 0)}

    await to_thread.run_sync(copied, tmp_path / "backup", server.store)
    assert await sync() == {"left": (0, 0, 0), "right": (1, 1, 0)}
    assert await sync() == NOTHING

    async with local.open() as store:
        assert set((await store.scan()).digests) == {key("before"), key("after"), key("edited")}


@pytest.mark.slow
async def test_server_of_another_version_is_synced_as_any(tmp_path: Path, smtd: Smtd) -> None:
    """Its digests mean nothing here: edits and deletions of both sides arrive, and no word is lost."""
    shelf = dumb_place(tmp_path / "shelf")
    await shelf.put(full("edited"), full("both"), record("gone"), record("kept"))

    later = server_process(tmp_path / "later", program=other_digests.PROGRAM)
    async with in_thread(later) as server:
        place = ServedPlace(server)

        async def sync() -> dict[str, tuple[int, int, int]]:
            return written(
                await to_thread.run_sync(lambda: smtd.sync(tmp_path / "shelf.dat", server.address))
            )

        assert await sync() == {"left": (0, 0, 0), "right": (4, 0, 0)}
        (digest,) = set(place.run("SELECT substr(digest, 1, 2) FROM smtd_change"))
        assert digest == (other_digests.PREFIX,)

        await shelf.put(commented(full("edited"), "of the shelf"), commented(full("both"), "one"))
        await place.put(commented(full("both"), "two"))
        await shelf.remove("gone")
        assert await sync() == {"left": (0, 1, 0), "right": (0, 2, 1)}
        assert await sync() == NOTHING

        async with shelf.open() as store:
            found = await store.read([key("both"), key("edited")])
        assert {"one", "two"} <= set((found[key("both")].outcome or "").splitlines())
        assert set(place.forms()) == {key("edited"), key("both"), key("kept")}
