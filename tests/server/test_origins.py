"""From where requests come, and how clients call the server."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from smtd.server.origins import Origin, Origins, WrongHost

LOCAL = Origins("", (), is_local=True, has_tls=False)
OPEN = Origins("", (), is_local=False, has_tls=True)
PROXIED = Origins("", ("10.0.0.1", "10.0.0.2"), is_local=False, has_tls=False)
NAMED = Origins("https://records.lab.example/", ("127.0.0.1",), is_local=False, has_tls=False)
FORWARDED = {
    "Host": "10.0.0.1:8471",
    "X-Forwarded-Host": "records.lab.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.0.0.2",
}


@pytest.mark.parametrize(
    ("origins", "peer", "headers", "found"),
    [
        (
            LOCAL,
            "127.0.0.1",
            {"Host": "localhost:8471"},
            Origin("127.0.0.1", "http://localhost:8471/", is_here=True),
        ),
        (LOCAL, "::1", {"Host": "[::1]:8471"}, Origin("::1", "http://[::1]:8471/", is_here=True)),
        (OPEN, "192.0.2.7", {"Host": "lab"}, Origin("192.0.2.7", "https://lab/")),
        (PROXIED, "10.0.0.1", FORWARDED, Origin("192.0.2.7", "https://records.lab.example/")),
        (PROXIED, "192.0.2.9", FORWARDED, Origin("192.0.2.9", "http://10.0.0.1:8471/")),
        (NAMED, "127.0.0.1", FORWARDED, Origin("10.0.0.2", "https://records.lab.example/")),
    ],
)
def test_origin(origins: Origins, peer: str, headers: dict[str, str], found: Origin) -> None:
    """Only a proxy that is trusted says from where it forwards, and what was asked for."""
    assert origins.of(peer, CIMultiDict(headers)) == found


@pytest.mark.parametrize(
    ("origins", "headers"),
    [
        (LOCAL, {}),
        (LOCAL, {"Host": ""}),
        (LOCAL, {"Host": "evil.example"}),
        (LOCAL, {"Host": "a b"}),
        (LOCAL, {"Host": "user@127.0.0.1"}),
        (OPEN, {"Host": 'lab/"><script>'}),
        (NAMED, {"Host": "evil.example"}),
    ],
)
def test_wrong_host_is_refused(origins: Origins, headers: dict[str, str]) -> None:
    """So no page leads a browser here under a name of its own."""
    with pytest.raises(WrongHost):
        origins.of("127.0.0.2", CIMultiDict(headers))


@pytest.mark.parametrize(
    "lines",
    [
        ["6.6.6.6, 192.0.2.7"],
        ["6.6.6.6", "192.0.2.7"],
        ["127.0.0.1", "192.0.2.7", "10.0.0.2"],
        ["127.0.0.1, 192.0.2.7", "10.0.0.2, 10.0.0.1"],
    ],
)
def test_forwarding_in_several_lines(lines: list[str]) -> None:
    """A proxy may add a line of its own: those before it anybody may have written."""
    headers = CIMultiDict([("Host", "lab"), *(("X-Forwarded-For", line) for line in lines)])
    headers.extend([("X-Forwarded-Proto", "ftp"), ("X-Forwarded-Proto", "https")])

    assert PROXIED.of("10.0.0.1", headers) == Origin("192.0.2.7", "https://lab/")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-real-ip", "Forwarded", "Via"])
def test_forwarded_request_is_not_local(header: str) -> None:
    """Whether the proxy is named or not, and whatever it says."""
    headers = CIMultiDict({"Host": "localhost"})
    assert LOCAL.of("127.0.0.1", headers).is_here
    assert not NAMED.of("127.0.0.1", CIMultiDict({"Host": "records.lab.example"})).is_here

    headers[header] = "127.0.0.1"

    assert not LOCAL.of("127.0.0.1", headers).is_here
