"""Addresses of databases on servers, as Sumatra reads them: literally, without URL-encoding."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from smtd.errors import UsageError
from smtd.stores.access import Access

#: How a connection may be protected, as PostgreSQL's own programs name it (`sslmode`).
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")


def parsed(scheme: str, usual_port: int, address: str, access: Access) -> tuple[str, Access]:
    """Return *address* with *scheme* and without a login, and the access with the login; see `Server.parse`.

    Raises UsageError, whose text has no secret.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise UsageError("this is not the address of a database: its host or port cannot be read") from None
    database = parts.path.rsplit("/", 1)[-1]
    tls = options.pop("sslmode", access.tls)
    if not database or parts.fragment or options or tls not in ("", *TLS_MODES):
        raise UsageError(
            "this is not the address of a database; write it like postgresql://user@host/name,"
            f" with ?sslmode={' or '.join(TLS_MODES)} if needed"
        )
    if parts.username:
        access = access.of(parts.username, parts.password)
    place = f"[{host}]" if ":" in (host or "") else host or ""
    place += "" if port in (None, usual_port) else f":{port}"
    return f"{scheme}://{place}/{database}", replace(access, tls=tls)
