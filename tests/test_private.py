"""Which other users can write to a file that names programs or contains a password."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from smtd.private import other_writers

USERS = {1000: ("ada", 1000), 1001: ("bob", 100)}
GROUPS = {
    1000: ("ada", []),
    100: ("users", []),
    50: ("lab", ["ada", "bob"]),
    1001: ("bob", []),
    60: ("ada", ["bob"]),
}


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ada has her own group, as on most systems, and Bob shares one, as on some."""

    def user(number: int) -> pwd.struct_passwd:
        name, group = USERS[number]
        return pwd.struct_passwd((name, "x", number, group, "", "/", "/bin/sh"))

    def group(number: int) -> grp.struct_group:
        name, members = GROUPS[number]
        return grp.struct_group((name, "x", number, members))

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrgid", group)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "who"),
    [
        (0o600, 1000, 1000, ""),
        (0o644, 1001, 100, ""),
        (0o664, 1000, 1000, ""),
        (0o664, 1000, 0, ""),
        (0o664, 1000, 50, "all members of group lab"),
        (0o664, 1000, 60, "all members of group ada"),
        (0o664, 1001, 100, "all members of group users"),
        (0o664, 1001, 1001, "all members of group bob"),
        (0o664, 4321, 1000, "all members of group 1000"),
        (0o664, 1000, 4321, "all members of group 4321"),
        (0o666, 1000, 1000, "everyone"),
    ],
)
def test_group_counts_as_other_users_unless_it_is_the_owners_own(
    mode: int, owner: int, group: int, who: str
) -> None:
    """As for ssh: with a umask of 002, the files of a user with their own group are theirs alone."""
    assert other_writers(os.stat_result((0o100000 | mode, 1, 1, 1, owner, group, 0, 0, 0, 0))) == who
