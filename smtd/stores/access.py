"""What a person says about a store beside where it is: how to be let in, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Access:
    """What a person says about a store beside where it is.

    *timezone*: where the clocks of its records stood, if Sumatra before 0.8 wrote them, which
    kept local times (empty: where this machine's stands). *python*: the interpreter whose Sumatra
    uses the shelf, for writing a kind of dbm file that this Python cannot. *username* and *password*:
    how to be let in by a server; *token*: the same over HTTP, in place of both. *ca_file*: the authority that
    vouches for it, if this machine knows of none (False for *verify_tls*: nobody needs to). *tls*: how a
    connection to a database is protected, in PostgreSQL's words (empty: as it comes). *proxy*: by which a
    server is reached over HTTP. *notify*: a database may tell of changes by itself.
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
        """Return the access of the account that an address or a project names, if it names one.

        Its password is the one that goes with it, or what was said of the same account, or of none: never
        that of another.
        """
        if not username:
            return self
        own = self.password if self.username in (None, username) else None
        return replace(self, username=username, password=password or own)


#: A person said nothing beside where it is.
NOTHING_SAID = Access()
