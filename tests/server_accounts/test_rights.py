"""What a user may do in which project, by the users file and the table of rights."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from smtd.server.accounts.rights import CREATE_RIGHTS, Right, Rights, User, rights_of

NONE, READ, WRITE, OWNER = Right
ROWS = [("mine", "ada", "owner"), ("shared", "ada", "read"), ("theirs", "bob", "owner")]


@pytest.mark.parametrize(
    ("user", "anonymous", "mine", "shared", "theirs", "may_create"),
    [
        (None, NONE, NONE, NONE, NONE, False),
        (None, READ, READ, READ, READ, False),
        (User("eve"), NONE, NONE, NONE, NONE, True),
        (User("eve"), READ, READ, READ, READ, True),
        (User("ada"), NONE, OWNER, READ, NONE, True),
        (User("ada"), READ, OWNER, READ, READ, True),
        (User("ada", everywhere=READ), NONE, OWNER, READ, READ, True),
        (User("ada", everywhere=WRITE), NONE, OWNER, WRITE, WRITE, True),
        (User("root", admin=True), NONE, OWNER, OWNER, OWNER, True),
        (User("Ada"), NONE, NONE, NONE, NONE, True),
    ],
)
def test_right_is_the_highest_that_anything_gives(
    user: User | None,
    anonymous: Right,
    mine: Right,
    shared: Right,
    theirs: Right,
    may_create: bool,
) -> None:
    """A row gives a right to one user in one project, and takes none away; names are compared exactly."""
    rights = rights_of(user, ROWS, anonymous)

    assert [rights.on(project) for project in ("mine", "shared", "theirs")] == [mine, shared, theirs]
    assert rights.may_create is may_create


def test_right_in_a_project_to_come_is_the_one_everywhere() -> None:
    """Nobody owns what is not there yet, but an admin."""
    assert rights_of(User("ada", everywhere=READ), ROWS, NONE).on("to come") is READ
    assert rights_of(User("ada"), ROWS, NONE).on("to come") is NONE
    assert Rights().on("to come") is NONE


def test_rights_include_each_other() -> None:
    """Who may do more may do less."""
    assert NONE < READ < WRITE < OWNER
    assert [Right.of(right.word) for right in Right] == list(Right)


@pytest.mark.parametrize("word", ["", "Owner", "admin", "3", "READ", "write "])
def test_word_that_is_no_right_gives_none(word: str) -> None:
    """A mistake in the table denies access rather than granting it."""
    assert Right.of(word) is NONE
    assert rights_of(User("ada"), [("mine", "ada", word)], NONE).on("mine") is NONE


def test_table_has_one_right_for_a_user_in_a_project() -> None:
    """Two would be a riddle; and names that differ in case are two."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(CREATE_RIGHTS)
        db.execute(CREATE_RIGHTS)
        insert = "INSERT INTO smtd_right (project, username, level) VALUES ('p', ?, 'read')"
        db.execute(insert, ("ada",))
        db.execute(insert, ("Ada",))

        with pytest.raises(sqlite3.IntegrityError):
            db.execute(insert, ("ada",))
