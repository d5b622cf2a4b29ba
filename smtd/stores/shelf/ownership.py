"""Who owns a file that replaces another one, and who else may use it: the same as before.

A shelf may belong to a group, or to everybody whom an access control list names. They must not be shut
out because smtd swaps a new file in.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

_ACL = "system.posix_acl_access"
#: Attributes that the system gives to each file by its own rules: kept where that is allowed.
_OF_THE_SYSTEM = ("security.", "trusted.", "system.")
#: What a file system says that has no attributes, or not this one.
_WITHOUT = (errno.ENOTSUP, errno.ENODATA)


def obstacle(path: Path) -> str:
    """Return why a new file at *path* would shut somebody out, with the next step; empty: it would not.

    Members of a group can keep it. Only root can keep another owner: else what the owner may do must be
    allowed to the group, with the owner in it, or to everybody.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    user = os.geteuid()
    if user == 0:
        return ""
    if found.st_gid not in (os.getegid(), *os.getgroups()):
        return _refusal(path, found)
    return "" if found.st_uid == user or _owner_stays(found) else _refusal(path, found)


def copy(source: Path, target: Path) -> None:
    """Give *target*, a new file of ours, the owner, group, mode and attributes of *source*, ACL included.

    The owner is kept where the system lets us; see `obstacle`. Raises OSError if the group cannot be kept.
    """
    found = source.stat()
    try:
        os.chown(target, found.st_uid, found.st_gid)
    except OSError:  # not ours to give, or not known in this container
        os.chown(target, -1, found.st_gid)
    _copy_attributes(source, target)
    target.chmod(stat.S_IMODE(found.st_mode))


def _copy_attributes(source: Path, target: Path) -> None:
    names = _attributes(source)
    # A directory may give an ACL of its own to each new file.
    for name in {_ACL} & (_attributes(target) - names):
        os.removexattr(target, name)
    for name in names:
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as exc:
            if exc.errno not in _WITHOUT and (name == _ACL or not name.startswith(_OF_THE_SYSTEM)):
                raise


def _attributes(path: Path) -> set[str]:
    try:
        return set(os.listxattr(path))
    except OSError as exc:
        if exc.errno in _WITHOUT:
            return set()
        raise


def _owner_stays(found: os.stat_result) -> bool:
    """Say whether the owner of a file may use it as before when it belongs to somebody else of its group."""
    may = found.st_mode >> 6 & 0o6
    of_group, of_others = found.st_mode >> 3 & 0o6, found.st_mode & 0o6
    if may & ~of_group == 0:
        with suppress(KeyError):  # a user whom this machine does not know
            owner = pwd.getpwuid(found.st_uid)
            if found.st_gid in os.getgrouplist(owner.pw_name, owner.pw_gid):
                return True
    return may & ~of_others == 0


def _refusal(path: Path, found: os.stat_result) -> str:
    owner, group = str(found.st_uid), str(found.st_gid)
    with suppress(KeyError):
        owner = pwd.getpwuid(found.st_uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(found.st_gid).gr_name
    return (
        f"{path.name} belongs to {owner}:{group}, and this user cannot create a new file that they can use;"
        f" run smtd as {owner}, or in the group {group} with the owner in it"
    )
