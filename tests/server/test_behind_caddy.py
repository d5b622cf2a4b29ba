"""A server behind Caddy, by the configuration that docs/how-to/tls.md has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.proxies import BehindProxy, Proxied, from_guide, running, served_behind
from tests.servers.process import free_port


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A server behind Caddy, which gets a certificate from the test and asks no authority for one."""
    port, directory = free_port(), tmp_path_factory.mktemp("caddy")
    with served_behind(directory, port, compresses=False) as (made, own):
        site = from_guide("caddyfile").replace("127.0.0.1:8471", own)
        certificate = directory / "cert.pem"
        site = site.replace(
            "records.lab.example {", f"https://localhost:{port} {{\n\ttls {certificate} {certificate}"
        )
        config = directory / "Caddyfile"
        config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}", "utf-8")
        command: list[str | Path] = ["caddy", "run", "--adapter", "caddyfile", "--config", config]
        home = {"HOME": str(directory), "PATH": os.environ["PATH"]}
        with running(command, directory / "caddy.log", port, **home):
            yield made


class TestBehindCaddy(BehindProxy):
    """All of it."""
