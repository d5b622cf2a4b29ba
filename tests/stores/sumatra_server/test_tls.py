"""A server must prove its identity, and only that server gets the password."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import trustme

from smtd.errors import StoreRefused
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import PROJECT, key, record
from tests.peers.line import Line, line_to
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.server_place import ADA, ServerPlace


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A certificate authority of the lab, in a file."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def context(authority: trustme.CA, host: str, until: datetime | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=until).configure_cert(made)
    return made


@pytest.fixture
async def line(server: SumatraServer, authority: trustme.CA) -> AsyncIterator[Line]:
    """A TLS line to a server with one record."""
    await ServerPlace(server).put(record())
    async with line_to(server.root, context(authority, "127.0.0.1")) as made:
        yield made


def location(line: Line, **access: object) -> Location:
    return Location(HTTP, Path(), None, replace(ADA, **access), f"{line.url}/records/")  # type: ignore[arg-type]


async def test_server_with_a_certificate_of_the_authority_is_accepted(line: Line, tmp_path: Path) -> None:
    """With the authority's file smtd reads the records."""
    async with open_store(location(line, ca_file=str(tmp_path / "ca.pem"))) as store:
        assert set((await store.scan([PROJECT])).digests) == {key("run")}


async def test_server_with_an_unknown_certificate_is_rejected(line: Line) -> None:
    """smtd sends nothing, and the message says what to do."""
    async with open_store(location(line)) as store:
        with pytest.raises(StoreRefused, match=r"is not trusted .*name the authority in ca_file") as told:
            await store.scan([PROJECT])

    assert line.requests == []
    assert PASSWORD not in str(told.value)


EXPIRED = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("host", "until", "step"),
    [
        pytest.param("lab.example", None, "use the address for which it was issued", id="of another host"),
        pytest.param("127.0.0.1", EXPIRED, r"certificate has expired\); its administrator", id="expired"),
    ],
)
async def test_wrong_certificate_of_the_authority_is_rejected(
    server: SumatraServer, authority: trustme.CA, tmp_path: Path, host: str, until: datetime | None, step: str
) -> None:
    """Although the authority signed it; the message says what is wrong, not to name the authority."""
    ca_file = str(tmp_path / "ca.pem")
    async with (
        line_to(server.root, context(authority, host, until)) as line,
        open_store(location(line, ca_file=ca_file)) as store,
    ):
        with pytest.raises(StoreRefused, match=rf"the certificate of .* is not trusted .*{step}"):
            await store.scan([PROJECT])

    assert line.requests == []


async def test_insecure_option_is_logged_at_every_opening(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """Only with that option smtd accepts any certificate. Without it nothing is logged."""
    async with open_store(location(line, verify_tls=False)) as store:
        assert set((await store.scan([PROJECT])).digests) == {key("run")}

    (said,) = caplog.messages
    assert "is not checked (verify_tls = false)" in said
    assert PASSWORD not in said
    caplog.clear()
    async with open_store(location(line)):
        assert caplog.messages == []
