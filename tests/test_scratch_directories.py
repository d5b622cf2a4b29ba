"""Private directories in which sockets are made: what killed processes left is removed, and nothing else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from smtd import private


def left(parent: Path, name: str = ".smtd-ab1_xyz9") -> Path:
    """Make the directory that a process left when it was killed, with a socket in it."""
    path = parent / name
    path.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path / "s"))
    return path


def test_directory_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """With the socket in it; an empty one too."""
    gone = left(tmp_path)
    empty = tmp_path / ".smtd-abcdefgh"
    empty.mkdir()

    path, handle = private.make_scratch(tmp_path)

    assert not gone.exists()
    assert not empty.exists()
    assert path.stat().st_mode & 0o777 == 0o700
    private.remove_scratch(path, handle)
    assert list(tmp_path.iterdir()) == []


def test_directory_of_a_process_at_work_stays(tmp_path: Path) -> None:
    """Two daemons may start beside each other."""
    first, one = private.make_scratch(tmp_path)
    second, two = private.make_scratch(tmp_path)

    assert first.is_dir()
    private.remove_scratch(first, one)
    private.remove_scratch(second, two)


def test_what_others_made_stays(tmp_path: Path) -> None:
    """A directory with another name or with files, and a link, whatever it is called."""
    home = left(tmp_path, ".smtd-home")
    (full := left(tmp_path, ".smtd-notes_of")).joinpath("notes").write_text("mine")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (link := tmp_path / ".smtd-somelink").symlink_to(elsewhere)

    os.close(private.make_scratch(tmp_path)[1])

    assert (home / "s").exists()
    assert {each.name for each in full.iterdir()} == {"s", "notes"}
    assert link.is_symlink()
    assert elsewhere.is_dir()
