"""Something in place of a file is never opened for reading: it could hang, or never end."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smtd import regular

ROOT = Path(__file__).parents[1]


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(os.path.relpath(path))


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


#: What can be in the place of a file, and the message about it.
PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "fifo": (os.mkfifo, "is a FIFO, not a file"),
    "directory": (Path.mkdir, "is a directory, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "socket": (_socket, "is a socket, not a file"),
    "loop": (_loop, "symbolic links"),
    "sparse": (_sparse, "too many for such a file"),
}


@pytest.fixture(params=PLACES)
def misplaced(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A path with something else than a file, and the message about it."""
    make, said = PLACES[request.param]
    make(tmp_path / "place")
    return tmp_path / "place", said


def test_path_that_is_no_file_is_not_read(misplaced: tuple[Path, str]) -> None:
    path, said = misplaced

    with pytest.raises(OSError, match=said):
        regular.read(path)


def test_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    assert regular.read(tmp_path / "link") == b"content"
    assert regular.read_text(tmp_path / "link") == "content"


def test_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    regular.check([tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError):
        regular.read(tmp_path / "nowhere")


def test_lock_refuses_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(regular.NotRegular):
        regular.lock(tmp_path / "lock")


#: Places that open files in another way, and why that is right.
ELSEWHERE = {
    "smtd/cli/doctor_machine.py": "it asks the kernel",
    "smtd/cli/doctor_state.py": "it checks before",
    "smtd/cli/login.py": "it opens the terminal",
    "smtd/cli/new_config.py": "the example is a part of this package",
    "smtd/cli/streams.py": "it opens the device that takes everything",
    "smtd/cli/unit_file.py": "the units are a part of this package",
    "smtd/control/protocol.py": "it opens a directory",
    "smtd/regular.py": "it is the way",
    "smtd/private.py": "it opens only what it has just made",
    "smtd/sqlite.py": "it is the way to SQLite, and checks before",
    "smtd/durable.py": "it syncs what was checked when it was read or made",
    "smtd/readonly.py": "it opens what SQLite has checked, or could not open",
    "smtd/journal/backup.py": "the journal is checked when it is opened, the copy is made by it",
    "smtd/journal/integrity.py": "it checks before",
    "smtd/journal/migrations.py": "it opens a database in memory",
    "smtd/stores/legacy/databases.py": "it checks before",
    "smtd/stores/django/schema.py": "the schema is a part of this package",
    "smtd/web/templates.py": "the files are a part of this package",
    "smtd/web/records/index_file.py": "it checks before",
    "smtd/server/api_document.py": "the document is a part of this package",
    "smtd/stores/shelf/worker.py": "it asks the kernel about its own process",
}
OPENING = {"open", "read_text", "read_bytes", "connect", "copyfile", "copy2"}
MODULES = {"os", "io", "sqlite3", "aiosqlite", "shutil"}


def test_files_are_opened_in_one_way_only() -> None:
    """A module that opens a file directly must check it, and be listed here."""
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "smtd").rglob("*.py") if _opens(path)}

    assert found == ELSEWHERE.keys()


def _opens(path: Path) -> bool:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return any(
        (isinstance(call, ast.Name) and call.id == "open")
        or (
            isinstance(call, ast.Attribute)
            and call.attr in {"read_text", "read_bytes"}
            and not _is(call, {"regular"})
        )
        or (isinstance(call, ast.Attribute) and call.attr in OPENING and _is(call, MODULES))
        for call in calls
    )


def _is(call: ast.Attribute, names: set[str]) -> bool:
    return isinstance(call.value, ast.Name) and call.value.id in names


def test_directory_without_a_name_is_shown_as_given() -> None:
    """Path("") has no last part; the message keeps its subject."""
    with pytest.raises(regular.NotRegular, match=r"\. is a directory"):
        regular.check([Path()])
