"""`/records/`, request by request, as Sumatra's clients send them."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from smtd.errors import UsageError
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.server import projects_api
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users import Users
from smtd.server.server_settings import ServerSettings
from smtd.server.serving import serve
from smtd.stores.http import form
from tests.build import PROJECT, change, commented, full, record, tagged
from tests.server.bulk import wanted, write
from tests.server.served import Client, Served, serving
from tests.server.waiting import until_status

pytestmark = pytest.mark.halved

LISTED = f"records/{PROJECT}/"


def read(body: bytes, label: str) -> Record:
    return form.read(body, Key(PROJECT, label))


# Logins and rights


async def test_first_request_is_challenged(served: Served) -> None:
    """Sumatra's client sends a password only then, and only below the path that asked for it."""
    for path in ("records/", LISTED, f"{LISTED}run/"):
        reply = await served.client().get(path)

        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="smtd", charset="UTF-8"'
        assert "error" in reply.json
        assert (await served.ada.get(path)).status in (200, 404)


async def test_every_answer_links_the_api_and_is_private(served: Served, ada: Client) -> None:
    """smtd's own client finds the feed by it, and no cache keeps what others may not see."""
    await ada.put(record())

    for client, path in (
        (served.client(), "records/"),
        (ada, LISTED),
        (ada, f"{LISTED}run/"),
        (ada, "records/no/"),
    ):
        reply = await client.get(path)

        assert reply.headers["Link"] == '</api/v1/>; rel="smtd"'
        assert reply.headers["Cache-Control"] == "private, no-cache"
        assert "Vary" not in reply.headers


async def test_user_without_a_right_is_forbidden(served: Served, ada: Client) -> None:
    """Nothing of a project of others is seen or changed, and nothing of it is said to be absent."""
    await ada.put(record())
    bob = served.client("bob")

    assert (await bob.get("records/")).json == []
    assert (await bob.get(LISTED)).status == 403
    assert (await bob.get(f"{LISTED}run/")).status == 403
    assert (await bob.get(f"{LISTED}other/")).status == 403
    assert (await bob.put(record())).status == 403
    assert (await bob.make(name="mine")).status == 403
    assert (await bob.ask("DELETE", f"{LISTED}run/")).status == 403
    assert (await bob.ask("DELETE", LISTED)).status == 403


async def test_reader_reads(served: Served, ada: Client) -> None:
    """A right for all projects holds in those to come."""
    await ada.put(record())
    reader = served.client("reader")

    assert (await reader.get(f"{LISTED}run/")).status == 200
    assert [one["id"] for one in (await reader.get("records/")).json] == [PROJECT]
    assert (await reader.put(record())).status == 403


# Projects


async def test_project_is_created_once(served: Served) -> None:
    """With or without a slash at the end; name and description in the body are taken, then and later."""
    ada = served.ada

    assert (await ada.get(LISTED)).status == 404
    assert (await ada.ask("PUT", f"records/{PROJECT}", b'{"name": "A sweep"}')).status == 201
    assert (await ada.ask("PUT", LISTED, b"{}")).status == 200
    assert (await ada.make(description="of all")).status == 200
    found = (await ada.get(LISTED)).json
    assert (found["id"], found["name"], found["description"]) == (PROJECT, "A sweep", "of all")
    (listed,) = (await ada.get("records/")).json
    assert (listed["id"], listed["name"], listed["uri"]) == (PROJECT, "A sweep", f"{ada.root}{LISTED}")


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"name": 3}', b'{"name": "\\ud800"}', b'{"name": "%b"}' % (b"x" * 300)]
)
async def test_project_with_a_strange_name_is_refused(ada: Client, body: bytes) -> None:
    """With a sentence."""
    reply = await ada.ask("PUT", LISTED, body)

    assert reply.status == 400
    assert reply.json["error"]


async def test_project_is_deleted_by_its_owner(served: Served, ada: Client) -> None:
    """With its records, whose deletions are in the feed; and the project may be made again."""
    root = served.client("root")
    await root.changes()
    await ada.put(record())

    assert (await ada.ask("DELETE", LISTED)).status == 204
    assert (await ada.get(LISTED)).status == 404
    assert (await ada.get(f"{LISTED}run/")).status == 404
    assert (await served.client("bob").make()).status == 201
    assert (await ada.get(LISTED)).status == 403
    changes = (await root.changes()).json["changes"]
    assert [(one["label"], one["digest"]) for one in changes] == [("run", None)]


async def test_deletion_of_a_project_finishes_after_a_disconnect(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a project is of no use."""
    monkeypatch.setattr(projects_api, "DELETE_BATCH", 1)
    await write(ada, *(wanted(record(f"run{number}")) for number in range(200)))
    start = (await ada.changes()).json["next"]

    with anyio.fail_after(30), anyio.CancelScope() as client:

        async def leave() -> None:
            await ada.changes(start, wait=20)
            client.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await ada.ask("DELETE", LISTED)

    assert client.cancelled_caught, "the client was there to the end"
    await until_status(ada, 404)


async def test_lost_update_of_a_project_is_refused(ada: Client) -> None:
    """A client that read an older state overwrites no newer words and deletes no unseen record."""
    old = (await ada.get(LISTED)).etag
    await ada.make(description="of somebody else")
    read = (await ada.get(LISTED)).etag
    await ada.put(record())

    assert (await ada.ask("PUT", LISTED, b'{"description": "mine"}', If_Match=old)).status == 412
    assert (await ada.ask("PUT", LISTED, b'{"name": "x"}', If_None_Match="*")).status == 412
    assert (await ada.ask("PUT", "records/New/", b"{}", If_Match="*")).status == 412
    assert (await ada.ask("DELETE", LISTED, If_Match=read)).status == 412
    now = await ada.get(LISTED)
    assert (now.json["name"], now.json["description"]) == ("", "of somebody else")
    assert (await ada.ask("PUT", LISTED, b'{"description": "mine"}', If_Match=now.etag)).status == 200
    assert (await ada.ask("DELETE", LISTED, If_Match=(await ada.get(LISTED)).etag)).status == 204


async def test_listing_is_newest_first_with_addresses_as_the_client_typed_them(ada: Client) -> None:
    """Sumatra's client sends its password to no other address; it asks for each as it is given."""
    for days, label in enumerate(["old", "a/b", "with:colon", "sp ace", "élan", "new"]):
        one = change(record(label), timestamp=record().timestamp + timedelta(days=days))
        quoted = label.replace(" ", "%20").replace("é", "%C3%A9")
        body = form.body(record("x")).replace(b'"label": "x"', json.dumps({"label": label}).encode()[1:-1])
        moment = one.timestamp.strftime("%Y-%m-%d %H:%M:%S").encode()
        body = body.replace(b"2024-03-31 00:30:00.123456", moment)
        assert (await ada.ask("PUT", f"{LISTED}{quoted}/", body)).status == 201

    listed = (await ada.get(LISTED)).json["records"]

    base = f"{ada.root}{LISTED}"
    assert listed == [f"{base}{one}/" for one in ("new", "%C3%A9lan", "sp%20ace", "with:colon", "a/b", "old")]
    for address in listed:
        assert (await ada.get(address.removeprefix(ada.root))).status == 200
    assert (await ada.get(f"{LISTED}last/")).json["label"] == "new"


async def test_listing_by_tags(ada: Client) -> None:
    """To the letter, and any of them."""
    for label, tags in {"one": {"foo"}, "two": {"foo2"}, "three": {"bar", "x"}, "four": {"Foo"}}.items():
        await ada.put(tagged(record(label), *tags))

    async def labels(tags: str) -> set[str]:
        found = (await ada.get(f"{LISTED}?tags={tags}")).json["records"]
        return {address.split("/")[-2] for address in found}

    assert await labels("foo") == {"one"}
    assert await labels("foo,bar") == {"one", "three"}
    assert await labels("no") == set()
    assert await labels("") == {"one", "two", "three", "four"}


async def test_project_is_not_sent_again_unless_it_changed(ada: Client) -> None:
    """Whatever changes in it makes another ETag."""
    seen = []
    for step in (
        ada.put(record()),
        ada.put(commented(record(), "more")),
        ada.make(name="Other"),
        ada.ask("DELETE", f"{LISTED}run/"),
    ):
        etag = (await ada.get(LISTED)).etag
        assert (await ada.get(LISTED, If_None_Match=etag)).status == 304
        seen.append(etag)
        await step
        assert (await ada.get(LISTED, If_None_Match=etag)).status == 200

    assert len(set(seen)) == len(seen)


# Records


async def test_record_is_returned_as_it_was_sent(ada: Client) -> None:
    """In Sumatra's media type, or as JSON where only that is asked for."""
    assert (await ada.put(full())).status == 201

    reply = await ada.get(f"{LISTED}full/")
    assert reply.headers["Content-Type"] == "application/vnd.sumatra.record-v4+json"
    assert canonical.digest(read(reply.body, "full")) == canonical.digest(full())
    assert reply.json["project_id"] == PROJECT
    assert reply.json["output_data"][0]["metadata"]["size"] == 4096
    plain = await ada.get(f"{LISTED}full/", Accept="application/json")
    assert plain.headers["Content-Type"] == "application/json"
    assert plain.body == reply.body
    assert (await ada.get(f"{LISTED}full/", Accept="text/html")).status == 406


async def test_record_of_an_unknown_project_is_refused(served: Served) -> None:
    """Clients make the project first."""
    assert (await served.ada.put(record())).status == 404


async def test_record_is_not_sent_again_unless_it_changed(ada: Client) -> None:
    """With its ETag, also where a proxy made that weak."""
    etag = (await ada.put(record())).etag
    path = f"{LISTED}run/"

    assert (await ada.get(path)).etag == etag
    for sent in (etag, f"W/{etag}", f'{etag[:-1]}-gzip"', f'"x", {etag}'):
        assert (await ada.get(path, If_None_Match=sent)).status == 304
    await ada.put(commented(record(), "more"))
    assert (await ada.get(path, If_None_Match=etag)).status == 200


async def test_lost_update_is_refused(ada: Client) -> None:
    """Sumatra's client sends If-Match by itself; who asks for nothing wins."""
    first = (await ada.put(record())).etag
    await ada.put(commented(record(), "first"))

    assert (await ada.put(commented(record(), "second"), If_Match=first)).status == 412
    assert (await ada.put(record(), If_None_Match="*")).status == 412
    assert (await ada.ask("DELETE", f"{LISTED}run/", If_Match=first)).status == 412
    assert (await ada.get(f"{LISTED}run/")).json["outcome"] == "first"
    assert (await ada.put(commented(record(), "second"))).status == 200
    assert (await ada.get(f"{LISTED}run/")).json["outcome"] == "second"


async def test_run_is_saved_five_times(ada: Client) -> None:
    """Until its run is over a record is what was sent last; from then on it takes edits only."""
    stages = ("_initialized_", "_pre_run_", "_running_", "_finished..._")
    for number, stage in enumerate(stages):
        one = full(tags=frozenset((stage,)), duration=None, output_data=(), stdout_stderr=f"{number}")
        assert (await ada.put(one)).status == (201 if number == 0 else 200)
    assert (await ada.put(full())).status == 200

    altered = change(full(), version="other", outcome="edited", main_file="/elsewhere/main.py")
    assert (await ada.put(altered)).status == 200
    found = read((await ada.get(f"{LISTED}full/")).body, "full")
    assert canonical.differences(found, full()) == ["outcome"]
    assert found.outcome == "edited"


async def test_same_save_again_changes_nothing(ada: Client) -> None:
    """It gets no number: no client has to read it again."""
    await ada.put(record())
    before = (await ada.changes()).json["next"]

    assert (await ada.put(record())).status == 200
    assert (await ada.changes()).json["next"] == before


async def test_body_may_have_annotations_alone(ada: Client) -> None:
    """smtd's own client sends nothing else for an edit."""
    await ada.put(record())
    body = json.dumps({"reason": "r", "outcome": "o", "tags": ["t"]}).encode()

    assert (await ada.ask("PUT", f"{LISTED}run/", body)).status == 200
    found = (await ada.get(f"{LISTED}run/")).json
    assert (found["reason"], found["outcome"], found["tags"]) == ("r", "o", ["t"])
    assert (await ada.ask("PUT", f"{LISTED}no/", body)).status == 404


@pytest.mark.parametrize("duration", ["inf", "-inf", "nan"])
async def test_infinite_duration_is_accepted_as_it_is_sent(ada: Client, duration: str) -> None:
    """A copy of the feed can be put back."""
    await ada.put(record())
    (change,) = (await ada.changes(include="records")).json["changes"]
    body = json.dumps({**change["record"], "label": "odd", "duration": duration}).encode()

    assert (await ada.ask("PUT", f"{LISTED}odd/", body)).status == 201
    odd = (await ada.changes(include="records")).json["changes"][-1]
    assert odd["record"]["duration"] == (None if duration == "nan" else duration)


async def test_record_is_deleted(ada: Client) -> None:
    """Once; and listed no more."""
    await ada.put(record())
    await ada.put(record("other"))

    assert (await ada.ask("DELETE", f"{LISTED}run/")).status == 204
    assert (await ada.ask("DELETE", f"{LISTED}run/")).status == 404
    assert (await ada.get(f"{LISTED}run/")).status == 404
    assert (await ada.get(LISTED)).json["records"] == [f"{ada.root}{LISTED}other/"]


async def test_records_of_a_tag_are_deleted(ada: Client) -> None:
    """To the letter of the tag; the number of them is the answer."""
    for label, tag in {"one": "bad", "two": "bad", "three": "bad2"}.items():
        await ada.put(tagged(record(label), tag))

    reply = await ada.ask("DELETE", f"{LISTED}tag/bad/")

    assert (reply.status, reply.body) == (200, b"2")
    assert (await ada.get(LISTED)).json["records"] == [f"{ada.root}{LISTED}three/"]
    assert (await ada.ask("DELETE", f"{LISTED}tag/bad/")).body == b"0"


async def test_newest_record_is_last(ada: Client) -> None:
    """None if there is none; `None` is what a client asks for that knows of none."""
    assert (await ada.get(f"{LISTED}last/")).status == 404
    assert (await ada.get(f"{LISTED}None/")).status == 404
    await ada.put(record())
    assert (await ada.get(f"{LISTED}last/")).json["label"] == "run"


@pytest.mark.parametrize("label", ["last", "tag/x", "permissions", "None"])
async def test_record_with_a_special_label_takes_precedence(ada: Client, label: str) -> None:
    """A label is a label."""
    await ada.put(tagged(record("other"), "x"))
    assert (await ada.put(record(label))).status == 201

    assert (await ada.get(f"{LISTED}{label}/")).json["label"] == label
    assert (await ada.ask("DELETE", f"{LISTED}{label}/")).status == 204
    assert (await ada.get(f"{LISTED}other/")).status == 200


async def test_record_that_sumatra_cannot_read_is_refused(ada: Client) -> None:
    """It would keep everybody from listing the project."""
    body = form.body(record()).replace(b"SerialLaunchMode", b"NoSuchLaunchMode")

    reply = await ada.ask("PUT", f"{LISTED}run/", body)

    assert reply.status == 422
    assert "NoSuchLaunchMode" in reply.json["error"]
    assert (await ada.get(LISTED)).json["records"] == []


async def test_many_writers_on_few_labels(ada: Client) -> None:
    """No label dies, nothing is said to be the server's fault, and each outcome is that of one of them."""
    sent: dict[str, set[str]] = {f"run-{number}": set() for number in range(20)}
    statuses: list[int] = []

    async def write(writer: int) -> None:
        for turn in range(4):
            label = f"run-{(7 * writer + 3 * turn) % 20}"
            outcome = f"{writer}-{turn}"
            sent[label].add(outcome)
            statuses.append((await ada.put(commented(record(label), outcome))).status)

    async with anyio.create_task_group() as group:
        for writer in range(50):
            group.start_soon(write, writer)

    assert set(statuses) <= {200, 201}
    assert statuses.count(201) == 20
    for label, outcomes in sent.items():
        found = await ada.get(f"{LISTED}{label}/")
        assert found.status == 200
        assert found.json["outcome"] in outcomes
    assert len((await ada.get(LISTED)).json["records"]) == 20
    changes = (await ada.changes()).json["changes"]
    assert {one["label"] for one in changes} == set(sent)


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Records, projects, rights and ETags; and no second server may serve the same file."""
    async with serving(tmp_path) as first:
        await first.ada.make(name="A sweep")
        etag = (await first.ada.put(record())).etag
        with pytest.raises(UsageError, match="another smtd serves"):
            await serve(ServerSettings(first.store), Authenticator(Users(tmp_path / "users")))

    async with serving(tmp_path) as second:
        assert (await second.ada.get(f"{LISTED}run/", If_None_Match=etag)).status == 304
        assert (await second.ada.get(LISTED)).json["name"] == "A sweep"
        assert (await second.ada.put(record("new"))).status == 201
        assert (await second.client("bob").get(LISTED)).status == 403


# Addresses and anonymous users


async def test_addresses_use_the_configured_url(tmp_path: Path) -> None:
    """A proxy may have it below a path of its own; under no other name is it asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = "https://lab.example/sumatra/"
    settings = ServerSettings(tmp_path / "store" / "records", port=port, url=url, proxies=("127.0.0.1",))
    async with serving(tmp_path, settings) as server:
        ada = server.ada
        ada.root = f"http://127.0.0.1:{port}/"
        await ada.ask("PUT", LISTED, None, Host="lab.example")
        await ada.put(record(), Host="lab.example")

        reply = await ada.get(LISTED, Host="lab.example")

        assert reply.json["records"] == [f"{url}{LISTED}run/"]
        assert reply.headers["Link"] == '</sumatra/api/v1/>; rel="smtd"'
        assert (await ada.get(LISTED, Host="other.example")).status == 400


async def test_anonymous_users_may_read_if_configured(tmp_path: Path) -> None:
    """And nothing more: who wants to write has to log in, and a wrong password is one."""
    settings = ServerSettings(tmp_path / "store" / "records", anonymous=Right.READ)
    async with serving(tmp_path, settings) as server:
        await server.ada.make()
        await server.ada.put(record())
        nobody = server.client()

        assert [one["id"] for one in (await nobody.get("records/")).json] == [PROJECT]
        assert (await nobody.get(f"{LISTED}run/")).status == 200
        assert [one["label"] for one in (await nobody.changes()).json["changes"]] == ["run"]
        assert (await nobody.put(record("new"))).status == 401
        assert (await nobody.ask("DELETE", f"{LISTED}run/")).status == 401
        assert (await nobody.make("Mine")).status == 401
        assert (await server.client("ada", "wrong").get(LISTED)).status == 401
