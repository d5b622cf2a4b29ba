"""Complete records go to a real Sumatra Server and come back, at the price of a request each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from smtd.engine import recovery
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.records import canonical
from smtd.stores import retrying
from smtd.stores.http import session
from smtd.stores.http.writer import ServerWriter
from tests.build import PROJECT, RUNNING, change, full, key, record, tagged
from tests.command import Answer, Smtd
from tests.integration.mirror import Mirror
from tests.peers import line as faults
from tests.peers.environments import Environment
from tests.peers.line import Line, line_to
from tests.peers.server import PASSWORD, SumatraServer, at_the_resolution_of_a_server
from tests.peers.stores import PeerStore
from tests.sampling import SOAK
from tests.stores.places import DjangoPlace
from tests.stores.server_place import ServerPlace

N = 70 if SOAK else 20


class Crash(BaseException):
    """The end of a process at a bad moment."""


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no caller wait before it asks a server again."""
    for module in (session, retrying):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
        monkeypatch.setattr(module, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def mirror(server: SumatraServer, tmp_path: Path) -> Mirror:
    """A mirror without records."""
    return Mirror(ServerPlace(server), tmp_path / "state")


async def test_each_finished_record_is_sent_once_and_complete(mirror: Mirror) -> None:
    """The first sync of N records needs N writes, a look before and after each, and six more requests.

    One of these finds out whether the server is smtd's own, two look for other clients on a new server. The
    next sync reads the records again, as for a user; the daemon right after that reads nothing.
    """
    for number in range(N):
        mirror.local.put(PROJECT, full(f"run-{number}"))
    mirror.local.put(PROJECT, record("running", tags=RUNNING, duration=None))

    first = await mirror.requests()
    second = await mirror.requests()
    third = await mirror.requests(force_retry=False)

    assert len([line for line in first if line.startswith("PUT /records/MyProject/run-")]) == N
    assert len(first) <= 3 * N + 6
    assert len(second) <= N + 4
    assert len(third) <= 4
    seen = await mirror.seen()
    assert {of.label for of in seen} == {f"run-{number}" for number in range(N)}
    assert {canonical.digest(change(one)) for one in seen.values()} == {canonical.digest(full())}


async def test_edits_are_synced_both_ways(mirror: Mirror) -> None:
    """An edit on the server is merged with an edit on this side."""
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


async def test_change_that_the_server_does_not_permit_recreates_the_record(mirror: Mirror) -> None:
    """smtd deletes the old record and creates the new one."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    asked = await mirror.requests()

    verbs = [line.split()[0] for line in asked if "/run/" in line]
    assert [verb for verb in verbs if verb != "GET"] == ["DELETE", "PUT"]
    assert verbs[-1] == "GET"
    assert (await mirror.seen())[key("run")].stdout_stderr == "all of it"


@pytest.mark.parametrize("meanwhile", ["nothing", "the edit is taken back"])
async def test_record_that_a_crash_left_deleted_is_restored(
    meanwhile: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd crashed between the deletion and the new record: no user deleted it."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    async def crash(*_args: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(ServerWriter, "create", crash)
        with pytest.raises(Crash):
            await mirror.cycle()
    assert await mirror.seen() == {}
    if meanwhile == "the edit is taken back":
        mirror.local.put(PROJECT, full("run"))
    meant = mirror.local.records[key("run")].stdout_stderr

    report = await mirror.cycle()

    assert report.ok
    assert (await mirror.seen())[key("run")].stdout_stderr == meant
    assert mirror.local.records[key("run")].stdout_stderr == meant


async def test_lost_answer_to_the_first_of_two_steps_is_no_deletion(
    mirror: Mirror, without_pauses: None
) -> None:
    """The record is deleted, to be recreated, when the connection breaks: it comes back on both sides."""
    mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    async def lost(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "DELETE":
            return await faults.passed(line, request)
        line.faults = dict.fromkeys(range(1, 1000), faults.reset)
        return await faults.lost(line, request)

    async with line_to(f"http://127.0.0.1:{mirror.place.server.port}") as line:
        line.faults = dict.fromkeys(range(1, 100), lost)
        direct, mirror.place.location = (
            mirror.place.location,
            replace(mirror.place.location, url=f"{line.url}/records/"),
        )
        with pytest.raises(StoreUnreachable):
            await mirror.cycle()
    mirror.place.location = direct
    assert await mirror.seen() == {}

    assert (await mirror.cycle()).ok
    assert (await mirror.seen())[key("run")].stdout_stderr == "all of it"
    assert mirror.local.records[key("run")].stdout_stderr == "all of it"


@pytest.mark.parametrize("what", ["new", "replaced"])
async def test_partial_record_of_a_crashed_server_is_completed(
    what: str, mirror: Mirror, without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server is back; nothing is lost, and no user is asked."""
    monkeypatch.setattr(recovery, "ABANDONED_AFTER", 0.0)
    mirror.local.put(PROJECT, full("other"))
    if what == "replaced":
        mirror.local.put(PROJECT, full("run"))
    await mirror.cycle()
    mirror.local.put(PROJECT, full("run", stdout_stderr="all of it"))

    async def dying(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT":
            line.faults = dict.fromkeys(range(1, 1000), faults.reset)
            return await faults.halved(line, request)
        return await faults.passed(line, request)

    async with line_to(f"http://127.0.0.1:{mirror.place.server.port}") as line:
        line.faults = dict.fromkeys(range(1, 1000), dying)
        mirror.place.location = replace(mirror.place.direct, url=f"{line.url}/records/")
        with pytest.raises(StoreUnreachable):
            await mirror.cycle()
    mirror.place.location = mirror.place.direct
    with anyio.fail_after(10):
        # The server may still be at the request whose answer nobody waits for.
        while (seen := (await mirror.seen()).get(key("run"))) is None or seen.output_data:  # noqa: ASYNC110 - the server has no event
            await anyio.sleep(0.02)

    report = await mirror.cycle()

    assert (report.conflicts, report.failed) == ([], [])
    meant = canonical.digest(full("run", stdout_stderr="all of it"))
    assert canonical.digest(change((await mirror.seen())[key("run")])) == meant
    assert canonical.digest(change(mirror.local.records[key("run")])) == meant
    assert (await mirror.cycle()).ok


UNSEEN = "the server accepted it but could not show it, so it was removed again; sync it with"
#: Records of real Sumatra that a server cannot keep, and why; and those that wait for the end of their run.
REFUSED = {
    "launch-distributed": UNSEEN,
    "launch-distributed-usual": UNSEEN,
    "launch-slurm": UNSEEN,
    "odd label/1:2|3.x é": "no address for this label",
    "parameters-dict": "Sumatra cannot read parameters of type dict from a server; sync it with",
    "parameters-none": "Sumatra cannot read parameters of type NoneType from a server; sync it with",
}
UNFINISHED = {
    *("status-initialized", "status-pre-run", "status-running", "status-running-tagged"),
    "status-finished-gathering",
}


def test_client_of_sumatra_reads_what_smtd_wrote(
    rich_shelf: Path,
    rich_server: tuple[Path, Answer],
    server: SumatraServer,
    django_environment: Environment,
    tmp_path: Path,
) -> None:
    """Sumatra's own client sees every record as in the source, field by field, to the second."""
    source = PeerStore(django_environment, "shelf", rich_shelf).dump()["MyProject"]

    database, answer = rich_server
    server.load_from(database)

    assert PASSWORD not in answer.out + answer.err
    pair = answer.pair
    seen = server.seen_by_sumatra("MyProject", django_environment, tmp_path)
    left_out = {each["label"] for each in (*pair["failed"], *pair["held"])}
    assert seen.keys() == source.keys() - left_out
    assert len(seen) == pair["right"]["created"] > 20
    for label, one in seen.items():
        assert at_the_resolution_of_a_server(one) == at_the_resolution_of_a_server(source[label]), label
    assert {each["label"] for each in pair["held"]} == UNFINISHED
    assert {each["label"] for each in pair["failed"]} == set(REFUSED)
    assert all(REFUSED[each["label"]] in each["error"] for each in pair["failed"])


async def test_wrong_password_is_reported_and_deletes_nothing(
    tmp_path: Path, server: SumatraServer, smtd: Smtd
) -> None:
    """A server that rejects the user looks empty."""
    right = server.url.replace("://", f"://ada:{PASSWORD}@")
    wrong = server.url.replace("://", "://ada:mistaken@")
    here = DjangoPlace(tmp_path / "here.sqlite")
    await here.put(full("run"), full("other"))
    smtd.sync(here.path, right, "--project", "MyProject")

    answer = smtd("sync", here.path, wrong, "--project", "MyProject")

    assert {each.label for each in here.forms()} == {"run", "other"}
    assert answer.code == 4
    assert "failed: wrong user name or password" in answer.err
    assert "mistaken" not in answer.out + answer.err


async def test_named_projects_are_synced_although_the_server_cannot_list_them(
    mirror: Mirror,
) -> None:
    """An empty project beside others stops Sumatra Server from listing any."""
    mirror.local.put(PROJECT, full("run"))
    mirror.place.run("INSERT INTO django_store_project (id, name, description) VALUES ('Empty', '', '')")
    mirror.place.run(
        "INSERT INTO sumatra_server_projectpermission (user_id, project_id)"
        " SELECT id, 'Empty' FROM auth_user WHERE username = 'ada'"
    )
    assert (await mirror.cycle()).right.created == 1

    async with mirror.place.open() as store:
        with pytest.raises(
            StoreRefused, match=r"does not list its projects; name the projects with --project"
        ):
            await store.projects()

    assert (await mirror.cycle()).in_sync == 1
