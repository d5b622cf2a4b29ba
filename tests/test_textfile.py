"""Text files are read as users save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd import textfile
from smtd.config import PairConfig
from smtd.daemon import added


def test_added_pairs_saved_by_any_editor_are_read(tmp_path: Path) -> None:
    """The file is smtd's own, but a user may repair it."""
    pairs, file = {"lab": PairConfig("/a", "/b")}, tmp_path / "pairs.json"
    added.write(file, pairs)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))

    assert added.read(file) == (pairs, "")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_empty_file_is_an_empty_text(data: bytes) -> None:
    """With a byte order mark or without."""
    assert textfile.decode(data) == ""


def test_line_that_is_not_utf_8_is_reported() -> None:
    """The first one."""
    with pytest.raises(ValueError, match=r"^line 3 is not UTF-8; save it as UTF-8$"):
        textfile.decode(b"a\r\nb\r\nth\xe8se\r\n\xff")
