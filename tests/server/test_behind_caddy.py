"""A server behind Caddy, by the configuration that docs/server.md has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.proxies import BehindProxy, Proxied, from_guide, running, served_behind
from tests.servers.process import free_port


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    """A server behind Caddy, which gets a certificate from the test and asks no authority for one."""
    port = free_port()
    with served_behind(tmp_path, port, compresses=False) as (made, own):
        site = from_guide("caddyfile").replace("127.0.0.1:8471", own)
        certificate = tmp_path / "cert.pem"
        site = site.replace(
            "records.lab.example {", f"https://localhost:{port} {{\n\ttls {certificate} {certificate}"
        )
        config = tmp_path / "Caddyfile"
        config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}", "utf-8")
        command: list[str | Path] = ["caddy", "run", "--adapter", "caddyfile", "--config", config]
        home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        with running(command, tmp_path / "caddy.log", port, **home):
            yield made


class TestBehindCaddy(BehindProxy):
    """All of it."""
