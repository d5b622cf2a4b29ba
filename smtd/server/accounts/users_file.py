"""The users file: one line of JSON for each user, with hashes of passwords and tokens.

Only `smtd user` writes it. A line of another form is an error, which gives the number of the line and shows
nothing of it. From its first byte on, only its owner has access to the file. It is replaced in one step, and
written by one process at a time.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from smtd import denied, private, regular
from smtd.errors import UsageError
from smtd.server.accounts import credentials
from smtd.server.accounts.rights import Right, User
from smtd.text import shown

#: A name appears in addresses, which Sumatra does not unquote, and in tables, some of which ignore case.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
LONGEST_NAME = 64
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class UsersFileError(UsageError):
    """The users file cannot be used until a person corrects it."""


class StoredToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is stored of a token. *made* and *expires* are seconds since 1970; *expires* None: never."""

    sha256: str
    made: int
    expires: int | None = None

    def __repr__(self) -> str:
        return f"StoredToken(made={self.made})"


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the file. *everywhere* is the right in all projects."""

    name: str
    password: str | None = None
    tokens: tuple[StoredToken, ...] = ()
    admin: bool = False
    everywhere: Literal["none", "read", "write"] = "none"

    @property
    def user(self) -> User:
        """The account without its secrets."""
        return User(self.name, self.admin, Right.of(self.everywhere))

    def __repr__(self) -> str:
        return f"Account({self.name!r})"  # never a hash


Accounts = Mapping[str, Account]
_decoder = msgspec.json.Decoder(Account)


def misnamed(name: str) -> str:
    """Return why *name* cannot be the name of a user; empty if it can."""
    if len(name) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} characters"
    if not _NAME.match(name):
        return "use letters (a-z), digits, _ - and ., and begin with a letter or digit"
    return ""


def read(path: Path) -> dict[str, Account]:
    """Return the accounts in the file *path*, by name; none if there is no such file. Blocks.

    Raises UsersFileError, with no part of any line, if a line is wrong, another user has access to the file
    or owns it, it is too large, or it cannot be read.
    """
    place = shown(str(path))
    try:
        with regular.opened(path) as file:
            found = os.fstat(file.fileno())
            if found.st_size > regular.SMALL:
                raise UsersFileError(f"the users file {place} is too large; restore the right file")
            _check_private(path, found)
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise UsersFileError(f"the users file {place} cannot be read: {denied.unread(exc)}") from None
    return _parsed(data, place)


def fingerprint(accounts: Mapping[str, Account]) -> str:
    """Return a short hash of *accounts*, the same for all files that have them."""
    lines = [msgspec.json.encode(account) for _, account in sorted(accounts.items())]
    return blake2b(b"\n".join(lines), digest_size=8).hexdigest()


def edit(path: Path, change: Callable[[dict[str, Account]], Mapping[str, Account]]) -> None:
    """Replace the accounts in *path* by what *change* returns for them, under a lock. Blocks.

    Nothing is written if *change* raises. Raises UsersFileError as `read`, and if the file cannot be written.
    """
    place = Path(os.path.realpath(path))  # a symbolic link stays: its target is replaced
    try:
        private.make_directory(place.parent)
        with _alone(place):
            accounts = change(read(place))
            lines = [msgspec.json.encode(account) + b"\n" for _, account in sorted(accounts.items())]
            private.replace(place, b"".join(lines))
    except OSError as exc:
        why = denied.why(exc)
        raise UsersFileError(f"the users file {shown(str(path))} cannot be written: {why}") from None


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep other processes from writing the file; the kernel releases the lock when the process ends."""
    handle = regular.lock(place.with_name(f".{place.name}.lock"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check_private(path: Path, found: os.stat_result) -> None:
    place, user = shown(str(path)), os.geteuid()
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsersFileError(
            f"others can use the users file {place} (mode {stat.S_IMODE(found.st_mode):04o}); run chmod 600"
            f" {shlex.quote(place)}"
        )
    if found.st_uid not in (0, user) and user != 0:
        raise UsersFileError(f"the users file {place} belongs to another user; chown it to the one of smtd")


def _parsed(data: bytes, place: str) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    names: set[str] = set()
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        account = _account(line)
        if account is None:
            raise UsersFileError(
                f"line {number} of the users file {place} is not valid; remove the line, and"
                " add its user again"
            )
        if account.name.lower() in names:
            raise UsersFileError(
                f"line {number} of the users file {place} repeats a user of an earlier line; remove one"
            )
        names.add(account.name.lower())
        accounts[account.name] = account
    return accounts


def _account(line: bytes) -> Account | None:
    """Return the account in *line*, or None if the line has another form. No exception shows a part of it."""
    try:
        account = _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    sound = (
        not misnamed(account.name)
        and (account.password is None or credentials.is_hash(account.password))
        and all(_DIGEST.match(token.sha256) for token in account.tokens)
    )
    return account if sound else None
