"""Whole records go to a real Sumatra Server and come back, at the price of a request each."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.http.store import HttpStore
from smtd.stores.memory import MemoryStore
from tests.build import PROJECT, RUNNING, change, full, key, record, tagged
from tests.command import Smtd
from tests.peers.environments import Environment
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.server_place import ServerPlace

N = 20


class Crash(BaseException):
    """The end of a process at a bad moment."""


class Mirror:
    """A store in memory that is mirrored to a server."""

    def __init__(self, place: ServerPlace, directory: Path) -> None:
        self.place = place
        self.local = MemoryStore()
        self._directory = directory

    async def cycle(self, **policy: object) -> PairReport:
        """Run one cycle, as one more process would."""
        async with (
            open_journal(self._directory) as journal,
            self.place.open() as server,
            journal.pair(self.local.location, server.location) as known,
        ):
            made = Policy(projects=frozenset({PROJECT}), **policy)  # type: ignore[arg-type]
            return await cycle.run(Pair("mirror", Both(self.local, server), known, made))

    async def requests(self, **policy: object) -> list[str]:
        """Run one cycle, and return what was asked of the server meanwhile."""
        before = len(self.place.server.requests())
        report = await self.cycle(**policy)
        assert (report.failed, report.conflicts) == ([], [])
        return self.place.server.requests()[before:]

    async def seen(self) -> dict[Key, Record]:
        """Return what the server has."""
        async with self.place.open() as store:
            return await store.read(list((await store.scan([PROJECT])).digests))


@pytest.fixture
def mirror(server: SumatraServer, tmp_path: Path) -> Mirror:
    """A mirror of nothing, yet."""
    return Mirror(ServerPlace(server), tmp_path / "state")


async def test_each_finished_record_is_sent_once_and_whole(mirror: Mirror) -> None:
    """The first sync of N records needs N writes, N looks at what came of them, and three more."""
    for number in range(N):
        mirror.local.put(PROJECT, full(f"run-{number}"))
    mirror.local.put(PROJECT, record("running", tags=RUNNING))

    first = await mirror.requests()
    second = await mirror.requests()

    assert len([line for line in first if line.startswith("PUT /records/MyProject/run-")]) == N
    assert len(first) <= 2 * N + 3
    assert len(second) <= 3
    seen = await mirror.seen()
    assert {of.label for of in seen} == {f"run-{number}" for number in range(N)}
    assert {canonical.digest(change(one)) for one in seen.values()} == {canonical.digest(full())}


async def test_edits_travel_both_ways(mirror: Mirror) -> None:
    """What a person writes on the server is merged with what a person writes here."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    await mirror.place.put(tagged(full("run"), "there"))
    mirror.local.put(PROJECT, change(tagged(full("run"), "here"), outcome="as expected"))

    report = await mirror.cycle(verify_within=0.0)

    assert report.ok
    seen = (await mirror.seen())[key("run")]
    assert seen.tags == tagged(full("run"), "there", "here").tags
    assert seen.outcome == "as expected"
    assert canonical.digest(seen) == canonical.digest(mirror.local.records[key("run")])


async def test_edits_on_the_server_are_seen_in_time(mirror: Mirror) -> None:
    """Without asking for it, each record is read again in turn."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    await mirror.place.put(tagged(full("run"), "there"))

    unseen = await mirror.cycle(verify_within=3600.0)
    seen = await mirror.cycle(verify_within=1e-9)

    assert (unseen.left.updated, seen.left.updated) == (0, 1)
    assert "there" in mirror.local.records[key("run")].tags


async def test_change_that_the_server_does_not_take_is_a_new_record(mirror: Mirror) -> None:
    """What it does not let be changed is deleted and made anew."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    asked = await mirror.requests()

    verbs = [line.split()[0] for line in asked if "/run/" in line]
    assert [verb for verb in verbs if verb != "GET"] == ["DELETE", "PUT"]
    assert verbs[-1] == "GET"
    assert (await mirror.seen())[key("run")].stdout_stderr == "all of it"


async def test_record_that_a_crash_left_deleted_is_put_back(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the deletion and the new record smtd died: nobody deleted anything."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    async def crash(*_args: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(HttpStore, "_create", crash)
        with pytest.raises(Crash):
            await mirror.cycle()
    assert await mirror.seen() == {}

    report = await mirror.cycle()

    assert report.ok
    assert (await mirror.seen())[key("run")].stdout_stderr == "all of it"
    assert mirror.local.records[key("run")].stdout_stderr == "all of it"


async def test_deletions_travel(mirror: Mirror) -> None:
    """A record deleted here is deleted there, and the other way round."""
    for label in ("one", "other", "third", "fourth", "fifth", "sixth"):
        mirror.local.put(PROJECT, full(label))
    await mirror.cycle()
    mirror.local.remove(PROJECT, "one")
    await mirror.place.remove("other")

    assert (await mirror.cycle()).ok

    left = {key(label) for label in ("third", "fourth", "fifth", "sixth")}
    assert set(await mirror.seen()) == set(mirror.local.records) == left


CLIENT = """
import json, sys
from sumatra.recordstore import get_record_store
from sumatra.recordstore.http_store import HttpRecordStore
from sumatra.recordstore.serialization import encode_record

store = HttpRecordStore(sys.argv[1], "ada", sys.argv[2])
print(json.dumps({record.label: json.loads(encode_record(record)) for record in store.list("MyProject")}))
"""


def test_client_of_sumatra_reads_what_smtd_wrote(
    rich_shelf: Path, server: SumatraServer, smtd: Smtd, django_environment: Environment, tmp_path: Path
) -> None:
    """Sumatra's own client lists the project; records that a server cannot keep are named."""
    address = server.url.replace("://", f"://ada:{PASSWORD}@")

    answer = smtd("sync", str(rich_shelf), address, "--project", "MyProject", "--json")

    assert PASSWORD not in answer.out + answer.err
    (pair,) = answer.json["pairs"]
    listed = django_environment.run(
        "python", "-c", CLIENT, server.url, PASSWORD, cwd=tmp_path, env={"http_proxy": ""}
    )
    assert pair["right"]["created"] > 20
    assert listed.stdout.count('"label"') == pair["right"]["created"]
    assert all(failure["error"] for failure in pair["failed"])
    assert pair["right"]["created"] + len(pair["failed"]) + len(pair["held"]) == 69


def test_wrong_password_is_told_and_deletes_nothing(
    rich_shelf: Path, server: SumatraServer, smtd: Smtd
) -> None:
    """A server that does not know us looks empty; that is no reason to delete anything."""
    right = server.url.replace("://", f"://ada:{PASSWORD}@")
    wrong = server.url.replace("://", "://ada:mistaken@")
    smtd("sync", str(rich_shelf), right, "--project", "MyProject")

    answer = smtd("sync", str(rich_shelf), wrong, "--project", "MyProject")

    assert answer.code == 4
    assert "asks for another name or password" in answer.err
    assert "mistaken" not in answer.out + answer.err
