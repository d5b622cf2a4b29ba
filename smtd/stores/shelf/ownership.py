"""Give a file that replaces another one the owner and the permissions of the old one.

A group, or users in an access control list, may share a shelf. They must keep their access when smtd swaps in
a new file.
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
#: Attributes that the system gives to each file by its own rules: smtd copies them where that is allowed.
_OF_THE_SYSTEM = ("security.", "trusted.", "system.")
#: The errors of a file system without attributes, or for a file without this one.
_WITHOUT = (errno.ENOTSUP, errno.ENODATA)


def lost_access(path: Path) -> str:
    """Return why a user would lose access to a new file at *path*, with the next step (empty: none would).

    A member of the group can keep the group. Only root can keep another owner: for other users, what the
    owner may do must be allowed to the group, with the owner in it, or to all users.
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
    """Give *target*, a new file of smtd's, the owner, group, mode and attributes of *source*, also its ACL.

    The owner is kept if the system allows that; see `lost_access`. Raises OSError if the group cannot.
    """
    found = source.stat()
    try:
        os.chown(target, found.st_uid, found.st_gid)
    except OSError:  # this user may not give it away, or the owner is unknown in this container
        os.chown(target, -1, found.st_gid)
    _copy_attributes(source, target)
    target.chmod(stat.S_IMODE(found.st_mode))


def _copy_attributes(source: Path, target: Path) -> None:
    names = _attributes(source)
    # A directory may give each new file a default ACL.
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
    """Say whether the owner of a file could use it as before if it belonged to another user of its group."""
    may = found.st_mode >> 6 & 0o6
    of_group, of_others = found.st_mode >> 3 & 0o6, found.st_mode & 0o6
    if may & ~of_group == 0:
        with suppress(KeyError):  # this machine does not know the user
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
