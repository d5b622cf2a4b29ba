"""What `campaigns.laptops` reports about a lost word: whether smtd could have kept it."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import cast

import aiohttp
import pytest

from campaigns.laptops.line import Exchange, Lines

LOOK = ("server", "GET", b"")
WRITE = ("laptop b", "PUT", b'{"outcome": "word3x"}')
READ_BACK = ("laptop b", "GET", b"")
DELETE = ("server", "DELETE", b"")
SAVE = ("server", "PUT", b'{"outcome": "word4x"}')
WAIT = ("laptop b", "GET", b"")


@pytest.mark.parametrize(
    ("exchanges", "unseen"),
    [
        ([LOOK, WRITE, READ_BACK, DELETE], True),
        ([WRITE, READ_BACK, LOOK, DELETE], False),
        ([LOOK, WRITE, DELETE, READ_BACK], False),
        ([LOOK, DELETE, WRITE, READ_BACK], False),
        ([LOOK, WRITE, READ_BACK], False),
        ([LOOK, WRITE, READ_BACK, SAVE, LOOK, DELETE], True),
        ([LOOK, WRITE, READ_BACK, SAVE, WRITE, LOOK, DELETE], False),
        ([LOOK, WRITE, READ_BACK, SAVE, *10 * [WAIT], LOOK, DELETE], False),
        ([WRITE, READ_BACK, LOOK, SAVE, LOOK, DELETE], False),
    ],
    ids=[
        "written between",
        "seen",
        "not read back",
        "written afterwards",
        "not deleted",
        "an older state saved over it and deleted at once",
        "an older state saved over it and mended",
        "an older state saved over it and deleted later",
        "seen and saved",
    ],
)
def test_word_deleted_unseen_could_not_be_kept(exchanges: list[tuple[str, str, bytes]], unseen: bool) -> None:
    """A laptop wrote and read it back between the look and the deletion of another client."""
    log = [
        Exchange(0.1 * at, who, method, "/r/p/a/", body=body)
        for at, (who, method, body) in enumerate(exchanges)
    ]
    lines = Lines({}, cast(aiohttp.ClientSession, None), Random(1), 0.0, Counter(), log)

    assert lines.deleted_unseen("word3x", "server") is unseen
