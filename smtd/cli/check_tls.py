"""`smtd check` for a certificate: can it be loaded, and is it valid now and for the name of the server?"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smtd import denied, regular
from smtd.config import ServerConfig
from smtd.errors import SmtdError, UsageError
from smtd.paths import expanded

#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_FLAG_NO_CHECK_TIME, for which Python has no names.
_NOT_YET_VALID, _NO_CHECK_TIME = 9, 0x20_0000


def trusting_all() -> ssl.SSLContext:
    """Return a client context that accepts any certificate, to identify a server without sending secrets."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def problems_of(server: ServerConfig) -> Iterator[SmtdError]:
    """Yield what is wrong with the certificate of *server* and its key; nothing if it has none. Blocks."""
    if server.cert_file is not None and server.key_file is not None:
        called = urlsplit(server.url).hostname if server.url is not None and not server.proxy else None
        yield from problems(expanded(server.cert_file), expanded(server.key_file), called)


def problems(cert_file: Path, key_file: Path, called: str | None) -> Iterator[SmtdError]:
    """Yield what is wrong with the certificate in *cert_file* and its key.

    *called*: the name by which clients reach the server (None: the name is not checked). Blocks.
    """
    unreadable = [*_unreadable("certificate", cert_file), *_unreadable("key", key_file)]
    yield from unreadable
    if unreadable:
        return
    if key_file.stat().st_mode & stat.S_IROTH:
        yield UsageError(f"all users of this machine can read the key {key_file}; run chmod o= on it")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(cert_file, key_file, password=b"")
    except ssl.SSLError as exc:
        yield UsageError(_unusable(cert_file, key_file, exc))
        return
    try:
        _shake_hands(server, cert_file, called)
    except ssl.SSLCertVerificationError as exc:
        why, step = exc.verify_message.rstrip("."), "renew it"
        if exc.verify_code == _NOT_YET_VALID:
            day = _valid_from(server, cert_file)
            why, step = f"it is valid from {day} on", "check the clock of this machine, or wait until then"
        yield UsageError(f"no client will trust the certificate {cert_file}: {why}; {step}")


def _unreadable(what: str, file: Path) -> Iterator[SmtdError]:
    try:
        regular.opened(file).close()
    except OSError as exc:
        yield UsageError(f"the {what} {file} cannot be read: {denied.unread(exc)}")


def _unusable(cert_file: Path, key_file: Path, exc: ssl.SSLError) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"the key {key_file} is not that of the certificate {cert_file}; name files of one pair"
    if b"ENCRYPTED" in regular.read(key_file):
        return f"the key {key_file} has a password, which smtd cannot ask for; name a key without one"
    return f"the certificate {cert_file} with the key {key_file} cannot be used: they are not in PEM form"


def _valid_from(server: ssl.SSLContext, cert_file: Path) -> str:
    """Return from when on the certificate of *server*, in *cert_file*, is valid."""
    start = ssl.cert_time_to_seconds(_shake_hands(server, cert_file, None, at_any_time=True)["notBefore"])
    return datetime.fromtimestamp(start, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _shake_hands(
    server: ssl.SSLContext, cert_file: Path, called: str | None, *, at_any_time: bool = False
) -> dict[str, Any]:
    """Do a TLS handshake in memory between *server* and a client that trusts the certificate in *cert_file*.

    Return what the certificate says, as `ssl.SSLObject.getpeercert` does. Raises SSLCertVerificationError if
    it is not valid now, unless *at_any_time*, or not for the name *called*. Python has no other way to read
    the dates in a certificate, or to check them.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if at_any_time:
        client.verify_flags |= _NO_CHECK_TIME
    client.load_verify_locations(cert_file)
    client.check_hostname = called is not None
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(there, here, server_hostname=called)
    answering = server.wrap_bio(here, there, server_side=True)
    for side in (asking, answering, asking):
        with suppress(ssl.SSLWantReadError):  # it is the other side's turn
            side.do_handshake()
    return asking.getpeercert() or {}
