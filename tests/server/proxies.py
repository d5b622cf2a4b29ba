"""Real proxies before a server, configured as docs/how-to/tls.md has it; and what must hold behind each."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
import anyio.lowlevel
import pytest
import trustme

from smtd.server import record_form
from tests.build import PROJECT, commented, full, record
from tests.command import Smtd
from tests.daemon.process import PATIENCE, wait_until
from tests.daemon.sqlite_stores import put
from tests.peers.environments import Environment
from tests.server.place import delete_projects
from tests.server.process import ServerProcess, server_process
from tests.server.remote_project import RemoteProject, work_a_little
from tests.server.served import PASSWORD, Client, login
from tests.server.streams import streaming
from tests.servers.process import free_port

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "tls.md").read_text("utf-8")


def from_guide(language: str) -> str:
    """Return the one configuration in *language* that docs/how-to/tls.md has."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


@dataclass(frozen=True)
class Proxied:
    """A *server*, as people reach it: at *root*, with a certificate of the authority in the file *ca*.

    *compresses*: its records are compressed on the way.
    """

    server: ServerProcess
    root: str
    ca: Path
    compresses: bool

    @property
    def address(self) -> str:
        """What a person names it by, with name and password."""
        return self.root.replace("://", f"://ada:{PASSWORD}@") + "records/"

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, session: aiohttp.ClientSession) -> Client:
        return Client(self.root, session, login("ada"))


@contextmanager
def running(command: Sequence[str | Path], log: Path, port: int, **environment: str) -> Iterator[None]:
    """Have a proxy running that listens on *port*."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=output, env=environment or None
        )
        deadline = time.monotonic() + PATIENCE
        try:
            while not listens(port):
                assert process.poll() is None, log.read_text("utf-8")
                assert time.monotonic() < deadline, log.read_text("utf-8")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def listens(port: int) -> bool:
    line = HTTPSConnection("localhost", port, timeout=5, context=ssl._create_unverified_context())
    try:
        line.connect()
    except OSError:
        return False
    finally:
        line.close()
    return True


@contextmanager
def served_behind(directory: Path, port: int, *, compresses: bool) -> Iterator[tuple[Proxied, str]]:
    """Give a server for which a proxy at *port* speaks, and its own address; with a certificate."""
    authority, own = trustme.CA(), f"127.0.0.1:{free_port()}"
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "cert.pem")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    text = f'[server]\nlisten = "{own}"\nurl = "https://localhost:{port}/"\nproxy = ["127.0.0.1"]\n'
    with server_process(directory / "server", text) as server:
        yield Proxied(server, f"https://localhost:{port}/", directory / "ca.pem", compresses), own


class BehindProxy:
    """What must hold behind a proxy. A module joins with a class and the fixture `behind`."""

    @pytest.fixture
    def proxied(self, behind: Proxied) -> Proxied:
        """The server, without any project."""
        port = urlsplit(behind.root).port
        delete_projects(HTTPSConnection("localhost", port, timeout=30, context=behind.context))
        return behind

    def test_person_works_as_without_it(
        self, proxied: Proxied, django_environment: Environment, tmp_path: Path
    ) -> None:
        """Real Sumatra: runs, comments, tags and deletions, with ETags that the proxy has made weak."""
        project = RemoteProject(tmp_path / "project", django_environment)
        project.begin(proxied.address)
        work_a_little(project)

        seen = project.seen()
        assert set(seen) == {"one", "two"}
        assert seen["one"]["outcome"] == "it works\nmore of it"
        assert set(seen["two"]["tags"]) == {"_failed_", "early"}
        cached = b"".join(path.read_bytes() for path in (project.directory / ".cache").iterdir())
        assert (b'etag: W/"' in cached) is proxied.compresses

    async def test_conditional_requests_work(self, proxied: Proxied) -> None:
        """What the proxy makes of an ETag is still that of the record."""
        async with session_of(proxied) as session:
            ada = proxied.client(session)
            await ada.make()
            await ada.put(commented(record(), "a word " * 1000))
            path = f"records/{PROJECT}/{record().label}/"
            first = await ada.get(path, Accept_Encoding="gzip")

            assert ("Content-Encoding" in first.headers) is proxied.compresses
            assert (await ada.get(path, Accept_Encoding="gzip", If_None_Match=first.etag)).status == 304
            assert (await ada.put(commented(record(), "mine"), If_Match=first.etag)).status == 200
            assert (await ada.put(commented(record(), "late"), If_Match=first.etag)).status == 412

    async def test_changes_arrive_at_once(self, proxied: Proxied) -> None:
        """Each event by itself, whatever a client would let the proxy compress; and a long poll ends."""
        async with session_of(proxied) as session:
            ada = proxied.client(session)
            await ada.make()
            since = (await ada.changes()).json["next"]
            with anyio.fail_after(PATIENCE):
                async with streaming(ada, f"since={since}", Accept_Encoding="gzip") as stream:
                    for number in range(3):
                        await ada.put(record(f"run-{number}"))
                        (change,) = await stream.changes(1)
                        assert change["label"] == f"run-{number}"
                    line = stream.answer.connection
                    assert line is not None
                    assert line.transport is not None
                    line.transport.abort()  # closing it in an orderly way would outlast the test
            assert (await ada.changes(change["seq"], wait=1)).json["changes"] == []

    async def test_addresses_are_as_clients_type_them(self, proxied: Proxied) -> None:
        """In listings and for the API; labels come as they were sent."""
        async with session_of(proxied) as session:
            ada = proxied.client(session)
            await ada.make()
            label = "a%2F/b%20c%C3%A9+%25"
            body = record_form.encoded(record_form.document(record("a//b cé+%"), PROJECT))
            assert (await ada.ask("PUT", f"records/{PROJECT}/{label}/", body)).status == 201
            listed = await ada.get(f"records/{PROJECT}/")

            (url,) = listed.json["records"]
            assert url.startswith(f"{proxied.root}records/{PROJECT}/")
            assert (await ada.get(url.removeprefix(proxied.root))).json["label"] == "a//b cé+%"
            assert listed.headers["Link"] == '</api/v1/>; rel="smtd"'

    async def test_large_record_passes(self, proxied: Proxied) -> None:
        """Of more than a proxy takes by itself."""
        async with session_of(proxied) as session:
            ada = proxied.client(session)
            await ada.make()

            assert (await ada.put(commented(record(), "x" * 3_000_000))).status == 201

    def test_smtd_syncs_through_it(self, proxied: Proxied, smtd: Smtd, tmp_path: Path) -> None:
        """It checks the certificate, and logs in with a token."""
        token = proxied.server.smtd("user", "token", "ada", "--users", proxied.server.directory / "users")
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(token.out, "utf-8")
        config = tmp_path / "config.toml"
        config.write_text(
            f'[stores.lab]\nlocation = "{proxied.root}records/"\ntoken_file = "{tmp_path}/token"\n'
            f'ca_file = "{proxied.ca}"\n',
            "utf-8",
        )
        put(tmp_path / "own.sqlite", full("run"))
        wait_until(lambda: smtd("-c", config, "list", "lab").code == 0)  # the server reads its users again
        pair = smtd.sync("-c", config, tmp_path / "own.sqlite", "lab", "--project", "*")

        assert (pair["in_sync"], pair["right"]["created"]) == (1, 1)


@asynccontextmanager
async def session_of(proxied: Proxied) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session that trusts the certificate, and decompresses."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=proxied.context)) as session:
        yield session
    for _ in range(5):  # aiohttp returns before what is below TLS is closed
        await anyio.lowlevel.checkpoint()
