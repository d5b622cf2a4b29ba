"""`smtd check` of the section [server]: whether the server could start, and who could reach it."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from smtd.server.accounts import users_file
from tests.build import PROJECT, full
from tests.command import Answer, Smtd
from tests.daemon.sqlite_stores import put
from tests.server.process import server_process
from tests.server.served import USERS
from tests.stores import old_databases
from tests.test_cli_check import checked

FREE = 'listen = "127.0.0.1:0"'
ROOT = "http://127.0.0.1:0/records/"


def served(smtd: Smtd, lines: str = "", stores: str = "", *, has_users: bool = True) -> Answer:
    """Return the result of `smtd check` for a server with *lines*, and for *stores*."""
    if has_users:
        users_file.edit(smtd.directory / "users", lambda _: USERS)
    return checked(smtd, f"[server]\n{lines if 'listen' in lines else f'{FREE}{chr(10)}{lines}'}\n{stores}")


def errors(answer: Answer) -> list[str]:
    """Return the errors of the server, sentence by sentence."""
    assert answer.err == ""
    lines = [line for line in answer.out.splitlines() if line.startswith("\u2717")]
    assert all(line.startswith("\u2717 server       ") for line in lines), lines
    return [line.removeprefix("\u2717 server       ") for line in lines]


def test_check_reports_a_server_that_can_start(smtd: Smtd, tmp_path: Path) -> None:
    """Its address, its store, and how many users may log in; nothing is created."""
    answer = served(smtd)

    store = smtd.home / "smtd" / "server" / "records.sqlite"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"\u2713 server       {ROOT}  {store} does not exist yet; the server creates it; 4 users",
        f"\u2713 state        {smtd.home}/smtd",
        "0 stores, 0 pairs, 1 server: all is well",
    ]
    assert not store.parent.exists()


def test_check_reads_the_store_of_the_server(smtd: Smtd, tmp_path: Path) -> None:
    """Also one of a pair; its errors are printed with those of the other stores."""
    put(tmp_path / "lab.sqlite", full("run"))

    answer = served(smtd, 'store = "lab"', f'[stores.lab]\nlocation = "{tmp_path}/lab.sqlite"')

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"\u2713 lab          {tmp_path}/lab.sqlite  1 record of {PROJECT}; can be written",
        f"\u2713 server       {ROOT}  {tmp_path}/lab.sqlite with 1 record of {PROJECT}; 4 users",
        f"\u2713 state        {smtd.home}/smtd",
        "1 store, 0 pairs, 1 server: all is well",
    ]


@pytest.mark.parametrize("kind", ["shelf", "0.7"])
def test_store_that_cannot_be_served_is_an_error(
    smtd: Smtd, tmp_path: Path, rich_shelf: Path, kind: str
) -> None:
    """A shelf, and a store of a Sumatra before 0.8: the message says what to do with them."""
    store = rich_shelf if kind == "shelf" else old_databases.make(tmp_path / "old.db", kind)

    answer = served(smtd, 'store = "lab"', f'[stores.lab]\nlocation = "{store}"')

    assert answer.code == 2
    (sentence,) = errors(answer)
    assert sentence.endswith("serve a new store, and sync this one with it")


def test_store_with_a_second_name_is_reported(smtd: Smtd, tmp_path: Path) -> None:
    """The server would refuse it."""
    put(tmp_path / "lab.sqlite", full("run"))
    (tmp_path / "other.sqlite").hardlink_to(tmp_path / "lab.sqlite")

    answer = served(smtd, 'store = "lab"', f'[stores.lab]\nlocation = "{tmp_path}/lab.sqlite"')

    (sentence,) = errors(answer)
    assert "the file has 2 names (hard links)" in sentence


def test_missing_store_is_reported_once(smtd: Smtd, tmp_path: Path) -> None:
    """With the stores."""
    answer = served(smtd, 'store = "lab"', f'[stores.lab]\nlocation = "{tmp_path}/no/lab.sqlite"')

    assert answer.code == 4
    (sentence,) = [line for line in answer.out.splitlines() if line.startswith("\u2717")]
    assert sentence.startswith("\u2717 lab ")


def test_server_without_users_is_reported(smtd: Smtd) -> None:
    """No client could log in, unless anonymous clients may read."""
    closed = served(smtd, has_users=False)
    readable = served(smtd, 'anonymous = "read"', has_users=False)

    assert closed.code == 1
    assert errors(closed) == [f"{smtd.directory}/users has no users; run smtd user add NAME"]
    assert (readable.code, readable.err) == (0, "")
    assert "anonymous read access" in readable.out


def test_users_file_that_others_can_access_is_an_error(smtd: Smtd) -> None:
    """The server would refuse it."""
    served(smtd)
    (smtd.directory / "users").chmod(0o640)

    answer = served(smtd, has_users=False)

    assert answer.code == 2
    assert errors(answer) == [
        f"others can use the users file {smtd.directory}/users (mode 0640);"
        f" run chmod 600 {smtd.directory}/users"
    ]


@pytest.fixture
def busy() -> Iterator[int]:
    """A port with a program that is no server of smtd."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door.getsockname()[1]


@pytest.mark.slow
def test_address_in_use_by_another_program_is_an_error(smtd: Smtd, busy: int) -> None:
    """Whatever it answers, or if it answers nothing."""
    answer = served(smtd, f'listen = "127.0.0.1:{busy}"')

    assert answer.code == 2
    assert errors(answer) == [f"another program listens on 127.0.0.1:{busy}; stop it, or choose another port"]


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
def test_address_of_the_running_server_is_accepted(smtd: Smtd, tmp_path: Path, *, has_tls: bool) -> None:
    """A user also checks beside it, before a reload."""
    (tmp_path / "server").mkdir()
    text = certified(tmp_path, "127.0.0.1") if has_tls else ""
    with server_process(tmp_path / "server", f"[server]\n{text}listen = '127.0.0.1:0'\n") as running:
        address = urlsplit(running.root).netloc
        answer = served(smtd, f'{text}listen = "{address}"')

    assert (answer.code, answer.err) == (0, "")
    assert "/records/  already running; " in answer.out


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("203.0.113.9:8471", "203.0.113.9 is not an address of this machine; listen on one of its own"),
        ("lab.invalid:8471", "there is no address lab.invalid; listen on one of this machine, or 127.0.0.1"),
    ],
)
def test_address_of_another_machine_is_an_error(
    smtd: Smtd, tmp_path: Path, listen: str, sentence: str
) -> None:
    """Before a restart that would fail."""
    answer = served(smtd, f'listen = "{listen}"\n{certified(tmp_path, "lab")}')

    assert answer.code == 2
    assert errors(answer) == [sentence]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            'proxy = ["10.0.0.7"]\nurl = "https://lab/"',
            "a proxy at 10.0.0.7 cannot reach 127.0.0.1:0; listen on an address that it reaches",
        ),
        (
            'listen = "0.0.0.0:0"\nproxy = ["127.0.0.1"]\nurl = "https://lab/"',
            "the proxy is on this machine, but other machines can bypass it at 0.0.0.0:0, so passwords would"
            " be sent in the clear; listen on 127.0.0.1",
        ),
        (
            'proxy = ["127.0.0.1"]\nurl = "http://lab/"',
            "with this url clients send passwords in the clear; give the proxy a certificate",
        ),
        (
            'proxy = ["127.0.0.1"]\nurl = "https://lab/records/"',
            "url is the address of the whole server, below which records/ is; leave records/ out there",
        ),
        (
            'url = "https://lab/"',
            "url begins with https, but the server has no certificate; set cert_file, or proxy",
        ),
        (
            'url = "http://lab/"',
            "only this machine reaches 127.0.0.1:0, not lab; listen on another address, or set proxy",
        ),
    ],
)
def test_contradictions_are_reported(smtd: Smtd, lines: str, sentence: str) -> None:
    """With each of these a server could start that no client can use, or that exposes passwords."""
    answer = served(smtd, lines)

    assert answer.code == 2
    assert errors(answer) == [sentence]


@pytest.mark.parametrize(
    "lines",
    [
        'proxy = ["127.0.0.1", "::1"]\nurl = "https://lab/"',
        'listen = "0.0.0.0:0"\nproxy = ["10.0.0.7"]\nurl = "https://lab/"',
        'url = "http://localhost:8471/"',
        'proxy = ["127.0.0.1"]\nurl = "http://localhost/"',
    ],
)
def test_consistent_settings_are_accepted(smtd: Smtd, lines: str) -> None:
    """A proxy on this machine or another, and a server for one machine."""
    answer = served(smtd, lines)

    assert (answer.code, answer.err) == (0, "")


def certified(
    directory: Path,
    name: str,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
) -> str:
    """Make a certificate for *name*, and return its lines in the configuration."""
    certificate = trustme.CA().issue_cert(name, not_before=not_before, not_after=not_after)
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    (directory / "key.pem").chmod(0o600)
    return f'cert_file = "{directory}/cert.pem"\nkey_file = "{directory}/key.pem"\n'


def test_valid_certificate_is_accepted(smtd: Smtd, tmp_path: Path) -> None:
    """It is for the name, valid now, and has its own key."""
    answer = served(
        smtd, f'{certified(tmp_path, "lab.example")}url = "https://lab.example:8471/"\nlisten = "0.0.0.0:0"'
    )

    assert (answer.code, answer.err) == (0, "")


def test_certificate_for_another_name_is_reported(smtd: Smtd, tmp_path: Path) -> None:
    """smtd would reject it everywhere; smt accepts any."""
    answer = served(
        smtd, f'{certified(tmp_path, "lab.example")}url = "https://other.example/"\nlisten = "0.0.0.0:0"'
    )

    assert answer.code == 2
    (sentence,) = errors(answer)
    assert "no client will trust the certificate" in sentence
    assert "other.example" in sentence


def test_expired_certificate_is_reported(smtd: Smtd, tmp_path: Path) -> None:
    """With the next step."""
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)

    answer = served(smtd, certified(tmp_path, "lab.example", not_after=past))

    assert answer.code == 2
    (sentence,) = errors(answer)
    assert sentence.endswith("certificate has expired; renew it")


def test_certificate_that_is_not_valid_yet_is_reported(smtd: Smtd, tmp_path: Path) -> None:
    """Nobody has to renew it; most likely a clock is wrong."""
    start, end = [datetime.datetime(year, 1, 2, tzinfo=datetime.timezone.utc) for year in (2090, 2091)]

    answer = served(smtd, certified(tmp_path, "lab.example", not_before=start, not_after=end))

    assert answer.code == 2
    (sentence,) = errors(answer)
    assert sentence.endswith(
        "cert.pem: it is valid from 2090-01-02 00:00 UTC on; check the clock of this machine, or wait"
        " until then"
    )


def test_key_of_another_certificate_is_an_error(smtd: Smtd, tmp_path: Path) -> None:
    """The server would not start."""
    lines = certified(tmp_path, "lab.example")
    trustme.CA().issue_cert("lab.example").private_key_pem.write_to_path(tmp_path / "key.pem")

    answer = served(smtd, lines)

    assert answer.code == 2
    assert errors(answer) == [
        f"the key {tmp_path}/key.pem is not that of the certificate {tmp_path}/cert.pem;"
        " name files of one pair"
    ]


def test_unusable_tls_files_are_errors(smtd: Smtd, tmp_path: Path) -> None:
    """Missing, no regular file, no PEM, or open to all; smtd does not wait for a FIFO."""
    lines = certified(tmp_path, "lab.example")
    (tmp_path / "key.pem").chmod(0o644)
    readable = errors(served(smtd, lines))
    (tmp_path / "key.pem").write_text("no key", "utf-8")
    (tmp_path / "key.pem").chmod(0o600)
    no_key = errors(served(smtd, lines))
    (tmp_path / "key.pem").unlink()
    (tmp_path / "cert.pem").unlink()
    os.mkfifo(tmp_path / "cert.pem")
    missing = errors(served(smtd, lines))

    assert readable == [f"all users of this machine can read the key {tmp_path}/key.pem; run chmod o= on it"]
    assert "they are not in PEM form" in no_key[0]
    assert len(missing) == 2
    assert "cert.pem cannot be read" in missing[0]
    assert missing[1] == (
        f"the key {tmp_path}/key.pem cannot be read: it does not exist; create it, or name another file"
    )
