"""Open pages of records as a browser does, and say how long each took.

python -m bench.pages ROOT USER PASSWORD FIRST COUNT PID

Prints JSON: seconds of each of COUNT searched pages, no two alike, seconds of processor time that the server,
process PID, took for all of them, and bytes of the largest. The words to search for begin with the number
FIRST. Waits first, without measuring, until the search index is complete.
"""

from __future__ import annotations

import http.cookiejar
import json
import sys
import time
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

from bench.measure import cpu_seconds
from bench.workplace import PROJECT

#: Seconds to wait for the index.
_PATIENCE = 3600.0
#: What a page says as long as it may lack records.
_INCOMPLETE = b"be missing below"


def log_in(root: str, user: str, password: str) -> OpenerDirector:
    """Return what sends requests with the cookie of *user*."""
    jar = http.cookiejar.CookieJar()
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar))
    form = urlencode({"name": user, "password": password, "next": "/login"}).encode()
    browser.open(f"{root}login", form, timeout=60).read()
    return browser


def searches(first: int, count: int) -> list[dict[str, str]]:
    """Return what people search for: one record, some, or almost all; with and without filters."""
    kinds = [
        lambda number: {"q": f"converged {number}"},
        lambda number: {"q": f"conv {number % 100}"},
        lambda number: {"q": f"seed {number % 10} steps"},
        lambda number: {"q": f"converged steps {number % 10}", "status": "finished"},
        lambda number: {"q": "converged", "since": f"2000-01-{1 + number % 28:02}"},
    ]
    return [kinds[number % len(kinds)](number) for number in range(first, first + count)]


def page(browser: OpenerDirector, root: str, query: dict[str, str]) -> bytes:
    """Return the page of *query*."""
    with browser.open(f"{root}project?{urlencode({'name': PROJECT, **query})}", timeout=600) as answer:
        return bytes(answer.read())


def main() -> None:
    """Measure, as the command line says."""
    root, user, password, first, count, pid = sys.argv[1:]
    browser = log_in(root, user, password)
    deadline = time.monotonic() + _PATIENCE
    while _INCOMPLETE in page(browser, root, {"q": "nothing"}):
        assert time.monotonic() < deadline, "the search index is never complete"
        time.sleep(1)
    taken, largest, busy = [], 0, cpu_seconds(int(pid))
    for query in searches(int(first), int(count)):
        began = time.perf_counter()
        found = page(browser, root, query)
        taken.append(time.perf_counter() - began)
        assert _INCOMPLETE not in found
        assert b"<tr>" in found, query
        largest = max(largest, len(found))
    busy = cpu_seconds(int(pid)) - busy
    print(json.dumps({"seconds": taken, "processor": busy, "largest": largest}))


if __name__ == "__main__":
    main()
