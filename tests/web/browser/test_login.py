"""A person comes to the server with a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.build import record
from tests.web.filling import Filler
from tests.web.person import Person


def test_login_leads_to_the_projects(ada: Filler, someone: Person) -> None:
    """With their names, and a link to the records of each."""
    ada.make("Sweep", name="The large sweep")
    ada.put(record(), "Sweep")

    someone.open("/")
    someone.click("The large sweep")

    assert someone.heading == "The large sweep"
    expect(someone.page.get_by_role("link", name="run", exact=True)).to_be_visible()


def test_logging_out_ends_the_session(someone: Person) -> None:
    """The first page asks for the password again."""
    someone.open("/")
    someone.click("Log out", "button")

    someone.open("/")

    assert someone.path == "/login"
