"""Logging in to the pages of the server, and what guards them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from anyio import to_thread

from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.users_file import Account
from tests.server.browsing import Browser
from tests.server.served import PASSWORD, Client, Served
from tests.server.waiting import until_status


async def test_first_page_asks_for_a_login_and_then_shows_the_projects(browser: Browser, ada: Client) -> None:
    asked = await browser.get()

    assert (asked.status, asked.headers["Location"]) == (303, "/login?next=%2F")
    done = await browser.log_in("ada", next="/")
    assert (done.status, done.headers["Location"]) == (303, "/")
    assert "Projects" in await (await browser.get()).text()


async def test_wrong_password_is_said_beside_the_field(browser: Browser) -> None:
    answer = await browser.log_in("ada", "wrong")

    assert answer.status == 401
    assert "The name or the password is wrong." in await answer.text()
    assert (await browser.get()).status == 303


async def test_token_opens_no_session(served: Served, ada: Client, browser: Browser, tmp_path: Path) -> None:
    """The session would outlive a token that is revoked."""
    token = credentials.new_token()
    stored = users_file.StoredToken(credentials.token_digest(token), 1)

    def add(accounts: dict[str, Account]) -> dict[str, Account]:
        return accounts | {"ada": msgspec.structs.replace(accounts["ada"], tokens=(stored,))}

    await to_thread.run_sync(users_file.edit, tmp_path / "users", add)
    await until_status(served.client("ada", token), 200)

    assert "Set-Cookie" not in (await browser.log_in("ada", token)).headers
    assert "Set-Cookie" in (await browser.log_in("ada")).headers


async def test_only_projects_that_the_user_may_read_are_shown(browser: Browser, ada: Client) -> None:
    await browser.log_in("bob")

    assert "There is no project that you may read." in await (await browser.get()).text()


async def test_cookie_is_of_no_use_to_scripts_other_sites_or_the_api(browser: Browser, ada: Client) -> None:
    cookie = (await browser.log_in("ada")).headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert (await browser.get("records/")).status == 401


async def test_password_of_the_api_is_of_no_use_on_pages(served: Served) -> None:
    answer = await served.session.get(served.root, headers=served.ada.login, allow_redirects=False)

    assert answer.status == 303


async def test_logging_out_needs_the_token_of_the_session(browser: Browser, ada: Client) -> None:
    await browser.log_in("ada")

    refused = await browser.post("logout", {"token": "forged"})

    assert refused.status == 403
    assert "opened in another session" in await refused.text()
    text = await (await browser.get()).text()
    token = text.partition('name="token" value="')[2].partition('"')[0]
    assert (await browser.post("logout", {"token": token})).status == 303
    assert (await browser.get()).status == 303


async def test_form_of_another_site_is_refused(browser: Browser) -> None:
    answer = await browser.post("login", {"name": "ada", "password": PASSWORD}, Sec_Fetch_Site="cross-site")

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "x", "/\t/"]
)
async def test_login_leads_to_this_server_only(browser: Browser, wanted: str) -> None:
    assert (await browser.log_in("ada", next=wanted)).headers["Location"] == "/"


async def test_page_loads_nothing_from_elsewhere_and_stands_in_no_frame(browser: Browser) -> None:
    policy = (await browser.get("login")).headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_markup_in_a_name_is_text(browser: Browser, ada: Client) -> None:
    assert (await ada.make("script", name="<script>alert(1)</script>\u202e")).status == 201
    await browser.log_in("ada")

    text = await (await browser.get()).text()

    assert "<script>alert" not in text
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\u202e" in text


async def test_files_of_pages_are_kept_under_their_version(browser: Browser) -> None:
    page = await (await browser.get("login")).text()
    address = page.partition('rel="stylesheet" href="/')[2].partition('"')[0]

    answer = await browser.get(address)

    assert answer.content_type == "text/css"
    assert "immutable" in answer.headers["Cache-Control"]
    assert (await browser.get("assets/../users")).status == 404
