"""When failed logins are too many, by name and by address; time is a number here."""

from __future__ import annotations

import pytest

from smtd.server.accounts import throttle
from smtd.server.accounts.throttle import (
    FORGET,
    FREE_BY_NAME,
    LONGEST_WAIT,
    Throttle,
    TooManyFailures,
    site,
)

HERE, THERE = "192.0.2.1", "198.51.100.7"


def failed(seen: Throttle, times: int, name: str | None = "ada", address: str = HERE, now: float = 0) -> None:
    for _ in range(times):
        seen.failed(name, address, now)


def test_wait_doubles_up_to_a_minute_and_passes() -> None:
    """It counts from the last failure."""
    seen = Throttle()
    failed(seen, FREE_BY_NAME)

    waits = [seen.failed("ada", HERE, now=number) for number in range(8)]

    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT]
    assert seen.wait("ada", HERE, 7 + LONGEST_WAIT - 1) == 1
    assert seen.wait("ada", HERE, 7 + LONGEST_WAIT) == 0


def test_failures_are_forgotten_after_a_quarter_of_an_hour() -> None:
    """The next one is the first again."""
    seen = Throttle()
    failed(seen, 100)

    assert seen.failed("ada", HERE, FORGET) == 0
    assert seen.wait("ada", HERE, FORGET) == 0


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that failed last are kept."""
    monkeypatch.setattr(throttle, "MOST", 10)
    seen = Throttle()
    failed(seen, FREE_BY_NAME + 1, name="old", address=THERE)

    for number in range(50):
        seen.failed(f"{number}" * 1000, HERE, 0)

    assert len(seen) == 10
    assert seen.wait("old", THERE, 0) == 0
    assert seen.wait("49", HERE, 0) > 0


def test_names_are_not_kept() -> None:
    """A user may have typed a password in place of the name."""
    seen = Throttle()

    seen.failed("geheim", HERE, 0)

    assert "geheim" not in repr(vars(seen))


@pytest.mark.parametrize("name", ["", "a\nb", "\0", "a" * 10_000, "\ud800", "\u202e"])
def test_any_name_can_fail(name: str) -> None:
    """It is one more name, whatever is in it."""
    seen = Throttle()

    failed(seen, FREE_BY_NAME + 1, name=name)

    assert seen.wait(name, THERE, 0) == 1
    assert seen.wait(f"{name}x", THERE, 0) == 0


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_address_counts_as_the_network_of_one_customer(address: str, counts_as: str) -> None:
    """Whoever has one address of IPv6 has 2**64 of them."""
    assert site(address) == counts_as


def test_error_says_when_to_come_back() -> None:
    """In whole seconds, which HTTP has, and never too early."""
    exc = TooManyFailures(1.2)

    assert exc.seconds == 2
    assert str(exc) == "too many failed logins; try again in 2 s"
