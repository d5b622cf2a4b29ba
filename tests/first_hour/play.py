"""What the person does, once smtd and Sumatra are there."""

from __future__ import annotations

import time

from tests.daemon.process import wait_until
from tests.first_hour.browser import Browser
from tests.first_hour.person import PATIENCE, Person

NAME, PASSWORD = "ada", "correct horse"
#: A program whose results are worth a record.
_PROGRAM = """cat > main.py <<'PROGRAM'
with open("Data/rate.txt", "w") as file:
    file.write("42\\n")
print("the rate is 42")
PROGRAM"""
_MAKE = f"""mkdir MyProject MyProject/Data && cd MyProject && {_PROGRAM}
printf 'Data/\\n.smt/\\n' > .gitignore && git init -q && git add . && git commit -qm 'First version'"""


def first_hour(person: Person, port: int, serve: str = "smtd serve") -> None:
    """Play it: a first run, a server, a mirror of the project there, and edits from both ends."""
    person.does(_MAKE)
    person.place = "~/MyProject"
    assert "set up" in person.does("smt init --executable=python3 --main=main.py MyProject")
    assert "the rate is 42" in person.does("smt run --label=first --reason='does it work?'")

    person.place = "~"
    asked = (("Password", PASSWORD), ("Repeat", PASSWORD))
    assert "added user ada" in person.does(f"smtd user add {NAME}", *asked)
    listening = f"{serve} --listen 127.0.0.1:{port}"
    with person.beside(listening, until=f"http://127.0.0.1:{port}/"):
        person.place = "~/MyProject"
        _mirror(person, f"http://127.0.0.1:{port}/")
        assert "no daemon" in person.does("smtd-ctl status", code=None)
        with person.beside("smtd run"):
            _until(person, "smtd-ctl status", "idle")
            browser = _sees_the_record(person, f"http://127.0.0.1:{port}/")
            _edits_both_ways(person, browser)
            assert "1 in sync" in _until(person, "smtd-ctl status", "idle")
            assert "first" in person.does("smtd-ctl history")


def _mirror(person: Person, address: str) -> None:
    """Set the mirror up in one command, look at it, and do it again."""
    answers = (("User at", NAME), ("Password", PASSWORD), ("Set it up?", ""))
    said = person.does(f"smtd mirror {address}", *answers)
    assert "1 record goes there, 0 records come here, 0 records are the same" in said
    assert "1 record in sync" in said
    assert "smtd run" in said  # where no systemd is, a person starts it
    assert "myproject" in person.does("smtd check")
    assert "before" in person.does(f"smtd mirror {address}")


def _sees_the_record(person: Person, address: str) -> Browser:
    """Log in on the server's page, and go to the record."""
    browser = Browser()
    browser.open(address)
    browser.send("Log in", User_name=NAME, Password=PASSWORD)
    browser.click("MyProject")
    browser.click("first")
    assert "does it work?" in browser.page.text
    return browser


def _edits_both_ways(person: Person, browser: Browser) -> None:
    """Comment on the laptop, edit on the page, and see both in both places."""
    person.does("smt comment first 'it works'")
    wait_until(lambda: "it works" in _again(browser))

    browser.click("Edit reason, outcome and tags")
    browser.send("Save", Outcome="it works\nand the rate is right")
    assert "and the rate is right" in browser.page.text
    began = time.monotonic()
    shown = _until(person, "smt list --long", "and the rate is right")
    assert "it works" in shown
    with person.record.open("a", encoding="utf-8") as file:
        file.write(f"(the edit of the page was on the laptop after {time.monotonic() - began:.1f} s)\n\n")


def _again(browser: Browser) -> str:
    browser.open(browser.page.address)
    return browser.page.text


def _until(person: Person, line: str, words: str) -> str:
    """Type *line* until it shows *words*; return what it showed."""
    deadline = time.monotonic() + PATIENCE
    while words not in (shown := person.does(line, code=None)):
        assert time.monotonic() < deadline, shown
    return shown
