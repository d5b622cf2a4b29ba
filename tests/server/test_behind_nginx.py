"""A server behind nginx, configured as docs/how-to/tls.md has it; and one that compresses everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.proxies import BehindProxy, Proxied, from_guide, running, served_behind
from tests.servers.process import free_port

AROUND = """
daemon off;
master_process off;
pid {here}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
{site}
}}
"""


@pytest.fixture(
    scope="module", params=["as in the guide", pytest.param("all compressed", marks=pytest.mark.slow)]
)
def behind(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Proxied]:
    """A server with nginx before it."""
    port, directory = free_port(), tmp_path_factory.mktemp("nginx")
    with served_behind(directory, port, compresses=True) as (made, own):
        site = from_guide("nginx").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        site = site.replace("127.0.0.1:8471", own).replace(
            "/etc/letsencrypt/live/records.lab.example", "LIVE"
        )
        for name in ("fullchain", "privkey"):
            site = site.replace(f"LIVE/{name}.pem", str(directory / "cert.pem"))
        site = site.replace("records.lab.example", "localhost")
        if request.param == "all compressed":
            site = site.replace("gzip_types ", "gzip_types * ").replace(
                "gzip_min_length 1000", "gzip_min_length 0"
            )
        config = directory / "nginx.conf"
        config.write_text(AROUND.format(here=directory, site=site), "utf-8")
        with running(["nginx", "-p", directory, "-c", config], directory / "nginx.log", port):
            yield made


class TestBehindNginx(BehindProxy):
    """All of it, whatever nginx compresses."""
