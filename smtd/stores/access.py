"""The user's settings for a store besides its location: credentials, and how to read and reach it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Access:
    """The user's settings for a store besides its location.

    *timezone*: the time zone of records that Sumatra before 0.8 wrote, which kept local times (empty: the
    zone of this machine). *python*: the interpreter whose Sumatra uses the shelf, for writing a kind of dbm
    file that this Python cannot write. *username* and *password*: the login at a server; *token*: replaces
    both over HTTP. *ca_file*: the certificates of the authority that signs for the server, if this machine
    has none; *verify_tls* False: accept any certificate. *tls*: how a connection to a database is protected,
    as one of PostgreSQL's modes (empty: "verify-full" with a *ca_file* that is to be verified, else
    "prefer"). *proxy*: the proxy for a server over HTTP. *notify*: have a database notify smtd of changes.
    """

    timezone: str = ""
    python: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify_tls: bool = True
    tls: str = ""
    proxy: str | None = field(default=None, repr=False)
    notify: bool = False

    def of(self, username: str | None, password: str | None) -> Access:
        """Return the access for the account that an address or a project names, if it names one.

        The password is the one that is given with the account. Without it, it is the user's password, if that
        was set for the same account or for none: never that of another account.
        """
        if not username:
            return self
        own = self.password if self.username in (None, username) else None
        return replace(self, username=username, password=password or own)


#: The access if the user set nothing besides the location.
NO_SETTINGS = Access()
