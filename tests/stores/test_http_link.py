"""smtd recognizes its own server by a link in its answers to an API on the same server."""

from __future__ import annotations

import pytest
from yarl import URL

from smtd.stores.http.link import address_in

BASE = URL("https://records.lab.example/records/")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ('</api/v1/>; rel="smtd"', "https://records.lab.example/api/v1/"),
        ("</api/v1/>; rel=smtd", "https://records.lab.example/api/v1/"),
        ('</help>; rel="help", </lab/api/v1/>; rel="smtd"', "https://records.lab.example/lab/api/v1/"),
        ('<https://records.lab.example/api/v1/>; rel="smtd"', "https://records.lab.example/api/v1/"),
        ('</api/v1/?token=1#top>; rel="smtd"', "https://records.lab.example/api/v1/"),
    ],
)
def test_api_is_found_in_the_link(header: str, address: str) -> None:
    """Alone or among other links, relative or absolute, without a query."""
    assert str(address_in(header, BASE)) == address


@pytest.mark.parametrize(
    "header",
    [
        "",
        '</api/v1/>; rel="other"',
        '</api/v1>; rel="smtd"',
        '<https://elsewhere.example/api/v1/>; rel="smtd"',
        '<http://records.lab.example/api/v1/>; rel="smtd"',
        '<https://records.lab.example:8443/api/v1/>; rel="smtd"',
        '<//elsewhere.example/api/v1/>; rel="smtd"',
        '<https://[/>; rel="smtd"',
    ],
)
def test_login_is_sent_to_no_other_server(header: str) -> None:
    """A link to another host, port or scheme is ignored, and so is an invalid address."""
    assert address_in(header, BASE) is None
