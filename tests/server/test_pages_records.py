"""The pages of records: what they show follows the store, and what their forms may do."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import anyio
import pytest
from anyio import to_thread

from smtd.errors import RecordUnusable
from smtd.server.accounts.rights import Right
from smtd.server.caller import Caller
from smtd.server.pages import edits, indexing, projects
from smtd.server.pages.dispatch import PageRequest
from smtd.server.project_rights import ProjectRights
from smtd.server.server_settings import ServerSettings
from smtd.server.sqlite_backend import SqliteBackend
from smtd.web.records import live_pages
from smtd.web.records.index import SearchIndex
from tests.build import PROJECT, full, record, tagged
from tests.server.browsing import Browser
from tests.server.granting import grant
from tests.server.served import Client, Served, serving
from tests.server.waiting import until_status

pytestmark = pytest.mark.halved

TABLE = {"name": PROJECT}
RUN = {"project": PROJECT, "label": "run"}


async def _never(_: object) -> bool:
    """Do what an index does that has too much to do."""
    await anyio.sleep_forever()
    return False


async def _never_begun(*_: object) -> int:
    """Do what the begin of an index does that first has to be emptied."""
    await anyio.sleep_forever()
    return 0


@asynccontextmanager
async def visiting(served: Served, user: str = "ada") -> AsyncIterator[Browser]:
    """Give *user* at a browser, logged in, for a `with` block."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Browser(served.root, session)
        await made.log_in(user)
        yield made


@pytest.fixture(autouse=True)
def pages_wait_for_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(indexing, "PATIENCE", 30.0)


@pytest.fixture
async def page(browser: Browser, ada: Client) -> Browser:
    """Ada, logged in, in a project with one record."""
    assert (await ada.put(tagged(record(), "old"))).status == 201
    await browser.log_in("ada")
    return browser


async def test_table_has_what_was_committed_before_the_request(page: Browser, ada: Client) -> None:
    """A new record, its next edit, and its deletion."""
    assert "a first look" in await page.page("project", **TABLE)

    await ada.put(record("next", outcome="diverged"))
    assert "diverged" in await page.page("project", **TABLE, q="diverged")

    await ada.ask("DELETE", f"records/{PROJECT}/next/")
    assert "No record matches." in await page.page("project", **TABLE, q="diverged")


async def test_record_that_is_too_large_for_the_feed_is_found(page: Browser, ada: Client) -> None:
    """By its outcome; nobody searches two megabytes of output."""
    await ada.put(record("large", outcome="enormous", stdout_stderr="x" * 2**21))
    await ada.put(record("after"))

    assert "large" in await page.page("project", **TABLE, q="enormous")
    assert "after" in await page.page("project", **TABLE)


async def test_index_is_filled_only_while_somebody_looks(
    page: Browser, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first page that needs it, until some time after the last one; then it catches up."""
    steps = []
    step = indexing.Indexing._step

    async def counted(self: indexing.Indexing) -> bool:
        steps.append(self)
        return await step(self)

    monkeypatch.setattr(indexing.Indexing, "_step", counted)
    for number in range(3):
        await ada.put(record(f"early-{number}"))
    assert steps == []
    assert "early-2" in await page.page("project", **TABLE)

    monkeypatch.setattr(indexing, "_USED", 0.0)
    await ada.put(record("wakes"))
    before = len(steps)
    for number in range(3):
        await ada.put(record(f"late-{number}"))
    assert len(steps) <= before + 1  # one may have begun before
    monkeypatch.setattr(indexing, "_USED", 900.0)
    assert "late-2" in await page.page("project", **TABLE)


async def test_page_says_that_the_index_is_not_complete(
    page: Browser, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how much is there; it does not wait for the rest."""
    await page.page("project", **TABLE)
    monkeypatch.setattr(indexing, "PATIENCE", 0.01)
    monkeypatch.setattr(indexing.Indexing, "_step", _never)
    await ada.put(record("next"))
    await ada.put(record("later"))

    text = await page.page("project", **TABLE)

    assert "The search index is not complete yet" in text
    assert "of 3 records" in text


@pytest.mark.parametrize("path", ["project", "parameters", "data"])
async def test_new_project_shows_nothing_of_one_that_had_its_name(
    page: Browser, served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its records were another user's, and the index may still have them."""
    await ada.put(full("secret"))
    query = {"name": PROJECT, "project": PROJECT, "path": full().input_data[0].path}
    address = f"{path}?{urlencode(query)}"
    assert "secret" in await (await page.get(address)).text()
    monkeypatch.setattr(indexing, "PATIENCE", 0.01)
    monkeypatch.setattr(indexing.Indexing, "_step", _never)

    await ada.ask("DELETE", f"records/{PROJECT}/")
    await served.client("bob").make()

    async with visiting(served, "bob") as bob:
        answer = await bob.get(address)
        assert "secret" not in await answer.text()
        assert answer.status == (200 if path == "data" else 503)


async def test_index_of_a_store_that_was_restored_is_made_again(tmp_path: Path) -> None:
    """It has nothing that the store of yesterday lacks."""
    store, yesterday = tmp_path / "store" / "records", tmp_path / "yesterday"
    settings = ServerSettings(store, index=tmp_path / "pages.sqlite")
    async with serving(tmp_path, settings) as served:
        await served.ada.make()
        await served.ada.put(record("old"))
        async with visiting(served) as ada:
            assert "old" in await ada.page("project", **TABLE)
    await to_thread.run_sync(shutil.copyfile, store, yesterday)
    async with serving(tmp_path, settings) as served:
        await served.ada.put(record("lost"))
        async with visiting(served) as ada:
            assert "lost" in await ada.page("project", **TABLE)
    await to_thread.run_sync(shutil.copyfile, yesterday, store)

    async with serving(tmp_path, settings) as served, visiting(served) as ada:
        with anyio.fail_after(30.0):
            while "old" not in (text := await ada.page("project", **TABLE)):  # the index is filled
                assert "lost" not in text

    assert "lost" not in text


async def test_index_is_not_shown_before_it_is_known_to_be_of_this_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of a state that was put back, or of another store, with other users."""
    settings = ServerSettings(tmp_path / "store" / "records", index=tmp_path / "pages.sqlite")
    async with serving(tmp_path, settings) as served:
        await served.ada.make()
        await served.ada.put(record("kept"))
        async with visiting(served) as ada:
            assert "kept" in await ada.page("project", **TABLE)
    monkeypatch.setattr(indexing, "PATIENCE", 0.01)
    monkeypatch.setattr(SearchIndex, "begin", _never_begun)

    async with serving(tmp_path, settings) as served, visiting(served) as ada:
        answer = await ada.get(f"project?name={PROJECT}")

        assert answer.status == 503
        assert "kept" not in await answer.text()


async def test_form_without_the_token_does_nothing(page: Browser, ada: Client) -> None:
    """Whoever made the browser send it."""
    form = await page.form("record/delete", **RUN)

    for more in ({"token": ""}, {"token": "forged"}):
        assert (await page.post("record/delete", {**form, **more})).status == 403
    assert (await page.post("record/delete", form, Sec_Fetch_Site="cross-site")).status == 403
    assert (await ada.get(f"records/{PROJECT}/run/")).status == 200


async def test_form_that_is_sent_twice_does_the_same_once(page: Browser, ada: Client) -> None:
    """An edit and a deletion."""
    edit = {**await page.form("record/edit", **RUN), "reason": "a first look", "outcome": "so", "tags": "old"}

    first, second = [(await page.post("record/edit", edit)).headers["Location"] for _ in range(2)]

    assert first.endswith("done=saved")
    assert second.endswith("done=same")
    form = await page.form("record/delete", **RUN)
    first, second = [(await page.post("record/delete", form)).headers["Location"] for _ in range(2)]
    assert first.endswith("done=deleted")
    assert second.endswith("done=gone")


async def test_edit_leaves_the_status_and_all_other_fields(page: Browser, ada: Client) -> None:
    """And what the form does not change keeps its bytes."""
    await ada.put(full("full"))
    before = (await ada.get(f"records/{PROJECT}/full/")).json
    form = await page.form("record/edit", project=PROJECT, label="full")
    sent = {**form, "reason": before["reason"], "outcome": before["outcome"], "tags": "figure-3"}

    assert (await page.post("record/edit", sent)).status == 303

    after = (await ada.get(f"records/{PROJECT}/full/")).json
    assert sorted(after.pop("tags")) == ["_finished_", "figure-3"]
    assert after == {name: value for name, value in before.items() if name != "tags"}


async def test_stream_ends_with_the_right_to_read(
    page: Browser, served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what came later nothing is told; the next request is refused."""
    monkeypatch.setattr(live_pages, "_PERIOD", 0.01)
    await grant(served, Right.READ)
    async with visiting(served, "bob") as bob:
        stream = await bob.get(f"project/live?{urlencode({**TABLE, 'newest': 0})}")
        with anyio.fail_after(10):
            assert b"1 record" in await stream.content.readuntil(b"\n\n")
            await to_thread.run_sync(ProjectRights(served.store).set, PROJECT, "bob", Right.NONE)
            await until_status(served.client("bob"), 403)
            await ada.put(record("secret"))

            assert b"2 records" not in await stream.content.read()
        assert (await bob.get(f"project/live?{urlencode(TABLE)}")).status == 403


async def test_streams_of_one_visitor_are_bounded(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, on a page that says so; one that ends makes room."""
    monkeypatch.setattr(live_pages, "_OF_ONE", 1)
    monkeypatch.setattr(live_pages, "_PERIOD", 0.01)
    path = f"project/live?{urlencode(TABLE)}"
    first = await page.get(path)
    assert first.status == 200

    async def status() -> int:
        async with await page.get(path) as answer:
            return answer.status

    assert await status() == 503
    first.close()
    with anyio.fail_after(10):
        while await status() == 503:  # noqa: ASYNC110
            await anyio.sleep(0.01)


@pytest.mark.parametrize("path", ["record/edit", "record/delete", "project/edit"])
async def test_right_counts_in_the_transaction(
    page: Browser, served: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It may be taken back after the request was let in."""
    await grant(served, Right.WRITE)
    async with visiting(served, "bob") as bob:
        form = await bob.form(path, **RUN)

        async def too_late(request: PageRequest) -> Caller:
            await to_thread.run_sync(ProjectRights(served.store).set, PROJECT, "bob", Right.READ)
            return request.caller

        for module in (edits, projects):
            monkeypatch.setattr(module, "caller_now", too_late)

        answer = await bob.post(path, {**form, "outcome": "mine", "name": "mine"})

        assert answer.status == 403
        assert "Bob has no right to change project" in await answer.text()


async def test_edit_that_the_store_cannot_hold_is_said(
    page: Browser, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason: another try would not help. (A file holds any text; databases on servers do not.)"""

    def unfit(*_: object) -> None:
        raise RecordUnusable("its tags 'enormous' has 60 characters, but the database allows 50")

    monkeypatch.setattr(SqliteBackend, "as_stored", unfit)
    fields = await page.form("record/edit", **RUN)

    answer = await page.post("record/edit", {**fields, "reason": "", "outcome": "", "tags": "enormous"})

    assert answer.status == 422
    assert "60 characters, but the database allows 50" in await answer.text()


async def test_tag_with_a_line_break_survives_an_edit(page: Browser, ada: Client) -> None:
    """A field of one line loses the break, which is no edit of the tag."""
    await ada.put(tagged(record("broken"), "two\nlines"))
    fields = await page.form("record/edit", project=PROJECT, label="broken")
    text = await page.page("record/edit", project=PROJECT, label="broken")
    shown = text.partition('name="tags" value="')[2].partition('"')[0].replace("\n", "")

    await page.post("record/edit", {**fields, "reason": "new", "outcome": "", "tags": shown})

    stored = (await ada.get(f"records/{PROJECT}/broken/")).json
    assert (stored["reason"], set(stored["tags"])) == ("new", {"_finished_", "two\nlines"})


async def test_long_text_is_edited_and_one_that_no_form_can_send_is_not(page: Browser, ada: Client) -> None:
    """The form says so before somebody has written anything."""
    long = "a line\n" * 60_000
    await ada.put(record("long", outcome=long))
    await ada.put(record("huge", outcome="x" * (2 * 2**20)))

    form = await page.form("record/edit", project=PROJECT, label="long")
    saved = await page.post("record/edit", {**form, "outcome": f"{long}the end", "tags": "new"})
    refused = await page.get(f"record/edit?project={PROJECT}&label=huge")

    assert saved.status == 303
    assert (await ada.get(f"records/{PROJECT}/long/")).json["outcome"] == f"{long}the end"
    assert refused.status == 413
    assert "smt comment" in await refused.text()


async def test_name_of_a_project_that_two_people_change_is_decided_by_the_second(
    page: Browser, ada: Client
) -> None:
    """Nothing is saved until they have seen the other one."""
    form = await page.form("project/edit", project=PROJECT)
    await ada.make(name="theirs")

    answer = await page.post("project/edit", {**form, "name": "mine", "description": ""})

    assert answer.status == 409
    assert "theirs" in await answer.text()
    again = {**form, "was_name": "theirs", "name": "mine", "description": ""}
    assert (await page.post("project/edit", again)).status == 303
    assert "<h1><bdi>mine</bdi></h1>" in await page.page("project", **TABLE)


async def test_name_that_no_field_can_show_survives_an_edit_of_the_description(
    page: Browser, ada: Client
) -> None:
    """Such a name comes from another program."""
    await ada.make(name=" two\nlines\0", description="old\0")
    fields = await page.form("project/edit", project=PROJECT)
    name = (await page.page("project/edit", project=PROJECT)).partition('name="name" value="')[2]
    shown = name.partition('"')[0].replace("\n", "").replace("\0", "\ufffd")
    sent = {name: text.replace("\n", "\r\n").replace("\0", "\ufffd") for name, text in fields.items()}

    answer = await page.post("project/edit", {**sent, "name": shown, "description": "new"})

    assert answer.status == 303
    stored = (await ada.get(f"records/{PROJECT}/")).json
    assert (stored["name"], stored["description"]) == (" two\nlines\0", "new")


async def test_text_of_a_record_is_no_page(page: Browser, ada: Client) -> None:
    """Whatever it looks like, the browser stores it as text."""
    await ada.put(record("evil", stdout_stderr="<script>alert(1)</script>"))

    answer = await page.get(f"record/text?project={PROJECT}&label=evil&part=stdout")

    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert await answer.text() == "<script>alert(1)</script>"
    assert (await page.get(f"record/text?project={PROJECT}&label=evil&part=users")).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("project", 400),
        ("project?name=Nothing", 404),
        (f"record?project={PROJECT}&label=nothing", 404),
        (f"compare?project={PROJECT}&label=run", 400),
        (f"compare?project={PROJECT}&label=run&label=nothing", 404),
        ("project?name=%FF", 400),
        (f"project?name={PROJECT}&since=x&sort=x&after=x&q=%22", 200),
    ],
)
async def test_address_that_means_nothing_is_answered_in_a_sentence(
    page: Browser, path: str, status: int
) -> None:
    """And never as a fault of the server."""
    assert (await page.get(path)).status == status


async def test_everybody_reads_where_that_is_allowed(tmp_path: Path) -> None:
    """Without a login, and without buttons that change anything."""
    settings = replace(ServerSettings(tmp_path / "store" / "records"), anonymous=Right.READ)
    async with serving(tmp_path, settings) as served, aiohttp.ClientSession() as session:
        await served.ada.make()
        await served.ada.put(record())
        nobody = Browser(served.root, session)

        text = await nobody.page("record", **RUN)

        assert "a first look" in text
        assert "Delete" not in text
        assert '<a href="/login">Log in</a>' in text
        assert (await nobody.get(f"record/delete?project={PROJECT}&label=run")).status == 403
        forged = {"token": "", "project": PROJECT, "label": "run", "digest": "1-a"}
        assert (await nobody.post("record/delete", forged)).status == 403
