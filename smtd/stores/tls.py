"""TLS for stores on servers: how a wrong server certificate is reported."""

from __future__ import annotations

import ssl

from smtd import denied
from smtd.errors import StoreRefused


def certificate_error(name: str, exc: BaseException | None) -> StoreRefused | None:
    """Return the error to report if *exc* was raised for the certificate of the server *name*, else None."""
    found = None
    while exc is not None:
        # The innermost error has the reason: drivers wrap it in others.
        found = exc if isinstance(exc, ssl.CertificateError) else found
        exc = exc.__cause__ or exc.__context__
    if found is None:
        return None
    why = " ".join(str(found).split())
    return StoreRefused(
        f"the certificate of {name} is not trusted ({why}); if your lab issued it, name the authority in"
        " ca_file"
    )


def unusable(exc: OSError) -> str:
    """Return why a file of certificates cannot be used, with the next step if permission is denied."""
    return str(exc) if isinstance(exc, ssl.SSLError) else denied.unread(exc)
