"""http_proxy, https_proxy and no_proxy say through which proxy an address is reached."""

from __future__ import annotations

import pytest

from smtd.cli.proxies import proxy_for
from smtd.cli.stores import located
from smtd.config import Config
from smtd.errors import UsageError

LAB = "http://records.lab.example:8000/records/"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove all proxies from the environment, except those that a test sets."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize(
    ("said", "proxy"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://eve:pw@proxy/", "https://eve:pw@proxy/"),
        ("", None),
    ],
)
def test_address_is_reached_through_the_proxy_of_its_scheme(
    name: str, said: str, proxy: str | None, environment: pytest.MonkeyPatch
) -> None:
    """And through no other."""
    environment.setenv(name, said)

    assert proxy_for(LAB) == proxy
    assert proxy_for(LAB.replace("http", "https")) is None
    assert located(LAB, Config(), None).access.proxy == proxy


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize(
    ("hosts", "is_reached_directly"),
    [
        ("records.lab.example", True),
        ("localhost, .lab.example", True),
        ("lab.example", True),
        ("records.lab.example:8000", True),
        ("records.lab.example:80", False),
        ("cords.lab.example", False),
        ("*", True),
    ],
)
def test_host_in_no_proxy_is_reached_directly(
    name: str, hosts: str, is_reached_directly: bool, environment: pytest.MonkeyPatch
) -> None:
    """By its name, a parent domain, with its port, or all hosts."""
    environment.setenv("http_proxy", "http://proxy:3128")
    environment.setenv(name, hosts)

    assert (proxy_for(LAB) is None) is is_reached_directly


@pytest.mark.parametrize(
    "said", ["socks5://eve:t0ken@proxy:1080", "http://eve:t0ken@", "http://[t0ken", "http://p:t0ken"]
)
def test_unusable_proxy_is_reported_by_its_variable(said: str, environment: pytest.MonkeyPatch) -> None:
    """Without any part of its address, and with the next step."""
    environment.setenv("https_proxy", said)

    with pytest.raises(UsageError, match=r"smtd cannot use the proxy in https_proxy; .*no_proxy") as told:
        located(LAB.replace("http", "https"), Config(), None)

    assert "t0ken" not in str(told.value)
