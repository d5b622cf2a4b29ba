"""TLS for stores on servers: how a wrong certificate, and a connection that fails, are reported."""

from __future__ import annotations

import os
import ssl

from smtd import denied
from smtd.errors import StoreRefused

#: What to do about a wrong certificate, by the code of OpenSSL (X509_V_ERR_…).
_STEPS = {
    9: "check the clock of this machine",  # CERT_NOT_YET_VALID
    10: "its administrator has to renew it; if it is valid, check the clock of this machine",  # EXPIRED
    62: "use the address for which it was issued",  # HOSTNAME_MISMATCH
    64: "use the address for which it was issued",  # IP_ADDRESS_MISMATCH
}
_UNKNOWN_AUTHORITY = "if your lab issued it, name the authority in ca_file"


def certificate_error(name: str, exc: BaseException | None) -> StoreRefused | None:
    """Return the error to report if *exc* was raised for the certificate of the server *name*, else None."""
    found = None
    while exc is not None:
        # The innermost error has the reason: drivers wrap it in others.
        found = exc if isinstance(exc, ssl.CertificateError) else found
        exc = exc.__cause__ or exc.__context__
    if found is None:
        return None
    message = getattr(found, "verify_message", None) or str(found)
    step = _STEPS.get(getattr(found, "verify_code", 0), _UNKNOWN_AUTHORITY)
    why = " ".join(message.split()).rstrip(".")
    return StoreRefused(f"the certificate of {name} is not trusted ({why}); {step}")


def is_without_tls(exc: BaseException) -> bool:
    """Say whether a connection was not made because the other side does not use TLS."""
    inner = _inner(exc)
    return isinstance(inner, ssl.SSLError) and inner.reason == "WRONG_VERSION_NUMBER"


def _inner(exc: BaseException) -> BaseException:
    return getattr(exc, "os_error", None) or exc


def why_not_connected(exc: BaseException) -> str:
    """Return in a few words why a connection was not made, or broke off."""
    inner = _inner(exc)
    if isinstance(inner, OSError) and inner.errno and not isinstance(inner, ssl.SSLError):
        # The text of asyncio repeats the address; a negative number is that of the resolver.
        return os.strerror(inner.errno) if inner.errno > 0 else str(inner.strerror)
    return " ".join(str(inner).split()) or type(exc).__name__


def unusable(exc: OSError) -> str:
    """Return why a file of certificates cannot be used, with the next step if permission is denied."""
    return str(exc) if isinstance(exc, ssl.SSLError) else denied.unread(exc)
