"""Open pages of records tell what has changed since they were shown."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.build import full
from tests.web.filling import Filler
from tests.web.person import Person

pytestmark = pytest.mark.slow

#: As if the page were in a tab behind another one, or were not.
_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_table_tells_of_new_records_that_match(ada: Filler, someone: Person) -> None:
    """Its count follows; an edit is no new record, nor is one that the search does not find."""
    ada.make("Growing")
    ada.put_all([full("one", outcome="settled"), full("two", outcome="settled")], "Growing")
    someone.open("/project?name=Growing&q=settled")
    found = someone.page.locator("#found")
    expect(found).to_have_text("2 records")

    ada.annotate("one", "Growing", outcome="settled again")
    ada.put(full("other", outcome="diverged"), "Growing")
    ada.put(full("three", outcome="settled"), "Growing")

    expect(found).to_have_text("3 records")
    someone.page.get_by_text("1 new record: show it").click()
    expect(someone.page.get_by_role("link", name="three")).to_be_visible()
    expect(someone.page.locator("#fresh")).to_be_empty()
    assert "q=settled" in someone.page.url


def test_hidden_page_asks_for_nothing(ada: Filler, someone: Person) -> None:
    """It learns what it has missed as soon as somebody looks at it again."""
    ada.make("Hidden")
    ada.put(full("one"), "Hidden")
    someone.open("/project?name=Hidden")
    expect(someone.page.locator("#found")).to_have_text("1 record")
    someone.page.evaluate(_HIDE, True)
    asked = []
    someone.page.on("request", lambda request: asked.append(request.url))

    ada.put(full("two"), "Hidden")
    assert asked == []
    someone.page.evaluate(_HIDE, False)

    expect(someone.page.get_by_text("1 new record: show it")).to_be_visible()


def test_record_says_that_somebody_changed_and_then_deleted_it(ada: Filler, someone: Person) -> None:
    """And leads to what it is now."""
    ada.make("Changing")
    ada.put(full("run"), "Changing")
    someone.open("/record?project=Changing&label=run")
    changed = someone.page.locator("#changed")
    expect(changed).to_be_empty()

    ada.annotate("run", "Changing", outcome="seen by somebody else")
    expect(changed).to_contain_text("This record has been changed meanwhile.")
    someone.click("Show it as it is now")
    assert "seen by somebody else" in someone.text

    ada.ask("DELETE", "Changing/run/")
    expect(changed).to_contain_text("This record has been deleted meanwhile.")
