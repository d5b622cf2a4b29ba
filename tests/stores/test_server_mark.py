"""Which marks of tables on a server may follow each other."""

from __future__ import annotations

import msgspec
import pytest

from smtd.stores.django.server_mark import ServerMark, read, record_hash

BEFORE = ServerMark(("cluster", "16384", None), (7, 1000), "2650", 1000, 7, record_hash(("MyProject", "run")))
#: Changes of a mark through ordinary use.
LATER = {
    "nothing happened": {},
    "there are new records": {"counts": (9, 1010), "newest": 9, "name": "another"},
    "the newest record was deleted": {"counts": (7, 1002), "newest": 6, "name": "another"},
    "all records were deleted": {"counts": (7, 1002), "newest": None, "name": None},
    "the table was compacted": {"counts": (7, 1002), "filed": "2651"},
    "the cluster is not told any more": {"identity": (None, "16384", None)},
    "a number is not told any more": {"counts": (None, 1010)},
    "more is told than before": {"identity": ("cluster", "16384", "1")},
}
OTHERS = {
    "another cluster": {"identity": ("another", "16384", None)},
    "a table that was made again": {"identity": ("cluster", "16399", None)},
    "the number of the last record went back": {"counts": (6, 1010)},
    "the number of the last transaction went back": {"counts": (7, 999)},
    "the newest row is of another record": {"name": "another"},
}


@pytest.mark.parametrize("what", LATER)
def test_ordinary_use_does_not_look_like_a_restore(what: str) -> None:
    """None of it is a sign of a backup."""
    assert BEFORE.is_followed_by(msgspec.structs.replace(BEFORE, **LATER[what]))  # type: ignore[arg-type]


@pytest.mark.parametrize("what", OTHERS)
def test_one_value_that_went_back_is_enough_for_a_restore(what: str) -> None:
    """One sign makes the tables suspect."""
    assert not BEFORE.is_followed_by(msgspec.structs.replace(BEFORE, **OTHERS[what]))  # type: ignore[arg-type]


def test_mark_is_read_as_it_was_written() -> None:
    """The journal keeps it as text."""
    assert read(BEFORE.text) == BEFORE
