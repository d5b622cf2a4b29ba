"""`smtd serve` and the section [server], as processes."""

from __future__ import annotations

import json
import signal
import ssl
import stat
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from anyio import to_thread
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from smtd.errors import UsageError
from smtd.server import record_form
from smtd.server.server_settings import ServerSettings
from tests.build import PROJECT, record
from tests.command import Smtd
from tests.daemon.process import daemon_process, pair_of
from tests.server.process import ServerProcess, server_process
from tests.server.served import login
from tests.stores.places import DjangoPlace, dumb_place

LISTED = f"/records/{PROJECT}/"


def ask(
    server: ServerProcess, method: str, path: str, body: bytes | None = None, *, user: str = "ada"
) -> tuple[int, bytes]:
    """Ask the server as *user* and return status and body."""
    found = urlsplit(server.root)
    with closing(HTTPConnection(found.hostname or "", found.port, timeout=30)) as line:
        line.request(
            method, path, body, {**(login(user) if user else {}), "Content-Type": "application/json"}
        )
        answer = line.getresponse()
        return answer.status, answer.read()


def put(server: ServerProcess, label: str) -> int:
    body = record_form.encoded(record_form.document(record(label), PROJECT))
    return ask(server, "PUT", f"{LISTED}{label}/", body)[0]


def test_server_runs_beside_the_daemon_of_its_user(tmp_path: Path) -> None:
    """As when somebody tries both on one machine: each has its own files in the state directory."""
    with (
        daemon_process(tmp_path, "") as daemon,
        server_process(tmp_path / "lab", start=False) as server,
    ):
        server.smtd.home = daemon.smtd.home
        server.start()

        assert ask(server, "GET", "/healthz")[0] == 200
        assert server.store.exists()
        assert daemon.ctl("status").code == 0

        assert daemon.ctl("stop").out == "smtd is stopping\n"
        assert server.ctl("stop").out == "smtd serve is stopping\n"


def test_server_creates_its_own_store(tmp_path: Path) -> None:
    """Private, at the first start; what was put there is there after the next one, and counted."""
    with server_process(tmp_path) as server:
        assert ask(server, "GET", "/healthz") == (200, b'{"ok":true}')
        assert ask(server, "GET", "/records/", user="")[0] == 401
        assert ask(server, "PUT", LISTED, b"{}")[0] == 201
        assert put(server, "run") == 201
        status, metrics = ask(server, "GET", "/metrics", user="")
        assert status == 200, "on this machine"
        assert b'smtd_server_requests_total{method="PUT",status="201"} 2.0' in metrics
        assert b"smtd_server_changes_total 1.0" in metrics
        assert stat.filemode(server.store.stat().st_mode) == "-rw-------"
        assert json.loads(server.ctl("status", "--json").out)["pairs"] == []

        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        server.start()
        assert ask(server, "GET", f"{LISTED}run/")[0] == 200


async def test_store_of_smt_is_served(tmp_path: Path) -> None:
    """By its place."""
    place = DjangoPlace(tmp_path / "records")
    await place.put(record())

    def served() -> tuple[int, bytes]:
        with server_process(tmp_path / "server", location=place.path) as server:
            return ask(server, "GET", f"{LISTED}run/", user="root")

    status, body = await to_thread.run_sync(served)
    assert (status, json.loads(body)["label"]) == (200, "run")


async def test_what_cannot_be_served_is_refused(tmp_path: Path, smtd: Smtd) -> None:
    """With a sentence, and without a server."""
    place = dumb_place(tmp_path / "shelf")
    await place.put(record())
    wanted = {
        ("serve", str(tmp_path / "shelf.dat")): "cannot be served",
        ("serve", str(tmp_path / "none")): "there is no record store",
        ("serve", "--listen", "0.0.0.0:0"): "passwords would be sent in the clear",
        ("serve", "--listen", "here"): "is not an address",
    }

    for words, sentence in wanted.items():
        answer = await to_thread.run_sync(partial(smtd, *words))
        assert answer.code in (2, 4), words
        assert sentence in answer.err, words
        assert "Traceback" not in answer.err


def test_address_in_use_is_reported(tmp_path: Path) -> None:
    """And nothing is left running."""
    with server_process(tmp_path / "one") as one:
        taken = urlsplit(one.root).netloc
        with server_process(tmp_path / "two", f'[server]\nlisten = "{taken}"\n', start=False) as two:
            two.start(ready=False)
            assert two.ended() == 2
            assert "cannot listen on" in two.log.read_text("utf-8")


def test_reload_applies_the_section(tmp_path: Path) -> None:
    """A daemon that keeps a pair serves one of its stores: begun, and ended, by reload."""
    text = pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")
    with daemon_process(tmp_path, text) as daemon:
        daemon.sync()
        daemon.config.write_text(f'{text}[server]\nlisten = "127.0.0.1:0"\nstore = "left"\n', "utf-8")
        assert daemon.ctl("reload").code == 0
        assert [one["event"] for one in daemon.events() if one["event"] == "serving"] == ["serving"]
        daemon.config.write_text(f'{text}[server]\nlisten = "127.0.0.1:0"\nstore = "lef"\n', "utf-8")
        answer = daemon.ctl("reload")
        assert (answer.code, "did you mean 'left'?" in answer.err) == (2, True)


def test_server_with_an_expired_certificate_warns(tmp_path: Path) -> None:
    """It serves all the same, as smt accepts any certificate."""
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    trustme.CA().issue_cert("localhost", not_after=past).private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    files = f'cert_file = "{tmp_path}/both.pem"\nkey_file = "{tmp_path}/both.pem"\n'

    with server_process(tmp_path, f'[server]\nlisten = "127.0.0.1:0"\n{files}') as server:
        assert server.root.startswith("https://")
        assert "certificate has expired; renew it" in server.log.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('listen = "8471"', "'8471' is not an address"),
        ('listen = "0.0.0.0:8471"', "in the clear"),
        ('url = "records.lab.example"', "it is not an address such as"),
        ('proxy = ["lab"]', "'lab' is not the address of a proxy"),
        ('proxy = ["127.0.0.1"]', "smtd needs url, too"),
        ('cert_file = "x"', "it needs key_file"),
        ('store = "lab"', "there is no store 'lab'"),
    ],
)
def test_mistake_in_the_section_is_reported_with_its_line(
    tmp_path: Path, smtd: Smtd, text: str, message: str
) -> None:
    """Before the server accepts connections."""
    (tmp_path / "config.toml").write_text(f"[server]\n{text}\n", "utf-8")

    answer = smtd("-c", tmp_path / "config.toml", "run")

    assert answer.code == 2
    assert "config.toml:2: server." in answer.err
    assert message in answer.err


def test_key_with_a_password_is_refused(tmp_path: Path) -> None:
    """Nobody is asked for it: a daemon would wait for ever."""
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3cret"))
    (tmp_path / "key.pem").write_bytes(locked)
    settings = ServerSettings(
        tmp_path / "records", cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem"
    )

    with pytest.raises(UsageError, match="has a password"):
        settings.tls()


def test_renewed_certificate_is_used_after_a_reload(tmp_path: Path) -> None:
    """Its file has the same name. With a certificate the server may listen to other machines."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def renew() -> None:
        certificate = authority.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")

    def serial(server: ServerProcess) -> object:
        with closing(HTTPSConnection("localhost", urlsplit(server.root).port, context=context)) as line:
            line.request("GET", "/records/", headers=login("ada"))
            assert isinstance(line.sock, ssl.SSLSocket)
            found = (line.sock.getpeercert() or {})["serialNumber"]
            answer = line.getresponse()
            assert (answer.status, answer.read()) == (200, b"[]")
            return found

    renew()
    files = f'cert_file = "{tmp_path}/cert.pem"\nkey_file = "{tmp_path}/key.pem"\n'
    with server_process(tmp_path, f'[server]\nlisten = "0.0.0.0:0"\n{files}') as server:
        assert server.root.startswith("https://")
        before = serial(server)
        renew()
        assert server.ctl("reload").code == 0
        assert serial(server) != before
