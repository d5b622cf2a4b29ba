"""Which password of ~/.pgpass is used, by the rules of libpq; smtd never waits for the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smtd.stores.django.passfile import password

ADA = ("db.lab", 5433, "records", "ada")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the password file, which is private, and does not exist yet."""
    for name in ("PGPASSWORD", "PGHOST", "PGPORT", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(path))
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, "utf-8")
    path.chmod(mode)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("db.lab:5433:records:ada:secret", "secret"),
        ("*:*:*:*:secret", "secret"),
        ("*:*:*:ada:a:b", "a:b"),
        (r"*:*:*:ada:a\:b\\c", r"a:b\c"),
        (r"db\.lab:*:*:ada:secret", "secret"),
        ("*:*:*:ada:", ""),
        ("other:*:*:*:secret", ""),
        ("*:5432:*:*:secret", ""),
        ("*:*:other:*:secret", ""),
        ("*:*:*:bob:secret", ""),
        ("#*:*:*:*:secret", ""),
        ("*:*:*", ""),
        ("*:*:*:ada", ""),
        ("", ""),
    ],
)
def test_matching_line_gives_the_password(file: Path, line: str, found: str) -> None:
    write(file, f"{line}\n")
    assert password(*ADA) == found


def test_first_matching_line_counts(file: Path) -> None:
    write(file, "*:*:*:bob:bobs\n*:*:*:ada:first\n*:*:*:ada:second\n")
    assert password(*ADA) == "first"


def test_default_server_is_this_machine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, "localhost:5432:records:ada:here\nelse:7:records:ada:there\n")
    assert password(None, None, "records", "ada") == "here"
    assert password("/run/postgresql", None, "records", "ada") == "here"

    monkeypatch.setenv("PGHOST", "first,else")
    monkeypatch.setenv("PGPORT", "6,7")
    assert password(None, None, "records", "ada") == "there"


def test_default_user_is_the_current_user(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, "*:*:*:ada:adas\n*:*:*:bob:bobs\n")
    monkeypatch.setenv("LOGNAME", "ada")
    assert password(None, None, "records", None) == "adas"
    monkeypatch.setenv("PGUSER", "bob")
    assert password(None, None, "records", None) == "bobs"


def test_password_of_the_environment_comes_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, "*:*:*:*:secret\n")
    monkeypatch.setenv("PGPASSWORD", "other")
    assert password(*ADA) == "other"


def test_file_that_others_may_access_is_ignored(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They may have written it; smtd logs that once."""
    write(file, "*:*:*:*:secret\n", 0o640)
    assert [password(*ADA), password(*ADA)] == ["", ""]
    said = f"the password file {file} is ignored because others can access it; run chmod 600 on it"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_file_that_is_not_text_is_ignored(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, "")
    file.write_bytes(b"*:*:*:*:\xff\n")
    assert password(*ADA) == ""
    assert "it is not UTF-8" in caplog.text


def test_fifo_in_place_of_the_file_is_not_waited_for(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(file, 0o600)
    assert password(*ADA) == ""
    assert "pgpass is a FIFO, not a file" in caplog.text


def test_missing_file_is_no_error(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert password(*ADA) == ""
    assert caplog.records == []
