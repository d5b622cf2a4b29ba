"""The users file: private, replaced in one step, and never shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtd import private
from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.rights import Right, User
from smtd.server.accounts.users_file import Account, StoredToken, UsersFileError

HASH = credentials.hashed("geheim")
DIGEST = credentials.token_digest("smtd_abc")
ADA = Account("ada", HASH, (StoredToken(DIGEST, 1, 2),), admin=True, everywhere="write")
BOB = Account("bob")


def added(*accounts: Account) -> Callable[[dict[str, Account]], dict[str, Account]]:
    return lambda known: known | {account.name: account for account in accounts}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a users file is to be, in a directory that is not there."""
    return tmp_path / "config" / "smtd" / "users"


def write(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def test_file_that_is_not_there_has_nobody(file: Path) -> None:
    """A server may start before its first user is added."""
    assert users_file.read(file) == {}


def test_what_is_written_is_read(file: Path) -> None:
    """All of it, and nothing else."""
    users_file.edit(file, added(BOB, ADA))

    assert users_file.read(file) == {"ada": ADA, "bob": BOB}
    assert ADA.user == User("ada", admin=True, everywhere=Right.WRITE)
    assert BOB.user == User("bob")


def test_file_holds_no_secret(file: Path) -> None:
    """But hashes; and neither does any repr."""
    users_file.edit(file, added(ADA))

    text = file.read_text("utf-8")
    assert "geheim" not in text
    assert "smtd_abc" not in text
    assert HASH in text
    for value in (ADA, users_file.read(file)):
        assert HASH not in f"{value!r}{value}"
        assert DIGEST not in f"{value!r}{value}"


def test_symbolic_link_stays_one(file: Path, tmp_path: Path) -> None:
    """Some people keep their configuration elsewhere."""
    file.parent.mkdir(parents=True)
    file.symlink_to(tmp_path / "elsewhere")

    users_file.edit(file, added(ADA))
    users_file.edit(file, added(BOB))

    assert file.is_symlink()
    assert set(users_file.read(tmp_path / "elsewhere")) == {"ada", "bob"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o666, 0o601])
def test_file_that_others_can_use_is_refused(file: Path, mode: int) -> None:
    """With the command that mends it; neither is it written."""
    users_file.edit(file, added(ADA))
    file.chmod(mode)

    for refused in (lambda: users_file.read(file), lambda: users_file.edit(file, added(BOB))):
        with pytest.raises(UsersFileError, match=f"others can use the users file .*run chmod 600 {file}"):
            refused()
    file.chmod(0o600)
    assert set(users_file.read(file)) == {"ada"}


@pytest.mark.root
def test_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They could write their own hash into it."""
    users_file.edit(file, added(ADA))
    os.chown(file, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)

    with pytest.raises(UsersFileError, match="belongs to another user"):
        users_file.read(file)


SECRETIVE = "geheim-hash"


@pytest.mark.parametrize(
    "line",
    [
        SECRETIVE,
        f"ada:{SECRETIVE}",
        f'{{"name": "ada", "password": "{SECRETIVE}"}}',
        f'{{"name": "ada", "password": "{HASH}{SECRETIVE}"}}',
        f'{{"name": "ada", "pasword": "{SECRETIVE}"}}',
        f'{{"name": "ada", "everywhere": "{SECRETIVE}"}}',
        f'{{"name": "ada", "admin": "{SECRETIVE}"}}',
        f'{{"name": "ada", "tokens": [{{"sha256": "{SECRETIVE}", "made": 1}}]}}',
        f'{{"name": "{SECRETIVE}:"}}',
        f'{{"password": "{SECRETIVE}"}}',
        f'["{SECRETIVE}"]',
        f"# {SECRETIVE}",
        f'{{"name": "ada", "password": "{SECRETIVE}',
        "[" * 100_000 + SECRETIVE,
        " ",
        "null",
    ],
)
def test_line_of_another_form_is_refused_and_not_shown(file: Path, line: str) -> None:
    """The sentence has its number; what is in the line may be a hash, or a password by mistake."""
    write(file, f'{{"name": "bob", "password": "{HASH}"}}', line)

    with pytest.raises(UsersFileError, match=r"^line 2 of the users file .* is not valid") as told:
        users_file.read(file)

    exc: BaseException | None = told.value
    while exc is not None:
        assert SECRETIVE not in f"{exc!r}{exc}"
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


@pytest.mark.parametrize("data", [b"\xff\xfe\n", b'{"name": "a\xff"}\n', b"\0\n", b'{"name":"ada"}\r\n\r\n'])
def test_file_that_is_no_text_is_refused(file: Path, data: bytes) -> None:
    """It is another file, or a damaged one."""
    write(file)
    file.write_bytes(data)

    with pytest.raises(UsersFileError, match=r"line [12] of the users file"):
        users_file.read(file)


@pytest.mark.parametrize("second", ["ada", "Ada"])
def test_user_who_is_there_twice_is_refused(file: Path, second: str) -> None:
    """Some databases and people take names that differ in case for the same."""
    write(file, '{"name": "ada"}', f'{{"name": "{second}"}}')

    with pytest.raises(UsersFileError, match=r"line 2 .* repeats a user of an earlier line"):
        users_file.read(file)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path, 0o600)])
def test_what_is_no_file_is_refused(file: Path, make: Callable[[Path], Any]) -> None:
    """And nothing waits for it."""
    file.parent.mkdir(parents=True)
    make(file)

    with pytest.raises(UsersFileError, match=r"the users file .* cannot be"):
        users_file.read(file)
    with pytest.raises(UsersFileError, match=r"the users file .* cannot be"):
        users_file.edit(file, added(ADA))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a:b",
        "a\nb",
        "ada\n",
        "a\0b",
        "a b",
        "a/b",
        "a@b",
        "a%b",
        "é",
        "\u202eada",
        "\x1b[2J",
        "\ud800",
        "-a",
        ".a",
        "*",
        "a" * 65,
        "a" * 100_000,
    ],
)
def test_hostile_name_is_nobodys(name: str) -> None:
    """It would not fit into a header, an address, a table or a line; the reason does not repeat it."""
    why = users_file.misnamed(name)

    assert why
    assert len(why) < 100


@pytest.mark.parametrize("name", ["ada", "Ada-2", "a.b_c", "_a", "9", "a" * 64])
def test_plain_name_is_somebodys(name: str) -> None:
    """Letters, digits and what Sumatra takes from an address as it is."""
    assert users_file.misnamed(name) == ""


def test_change_that_fails_writes_nothing(file: Path) -> None:
    """What it raises comes out."""
    users_file.edit(file, added(ADA))
    before = file.stat()

    with pytest.raises(ZeroDivisionError):
        users_file.edit(file, lambda known: 1 / 0)  # type: ignore[arg-type, return-value]

    assert file.stat() == before
    users_file.edit(file, added(BOB))
    assert set(users_file.read(file)) == {"ada", "bob"}


#: Forks for each step. Each fork changes a file of its own, and is killed before one of the calls that change
#: anything.
KILLED = """
import json, os, signal, sys
from pathlib import Path

from smtd.server.accounts import users_file
from smtd.server.accounts.users_file import Account

left = None

def count(event, _arguments):
    global left
    if left is not None and event in ("open", "os.rename", "os.chmod", "os.chown", "os.remove"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
many = {f"user{n}": Account(f"user{n}") for n in range(20_000)}
ends = []
while len(ends) < 20 and (not ends or ends[-1]):
    child = os.fork()
    if not child:
        left = len(ends)
        users_file.edit(Path(sys.argv[1], str(len(ends)), "users"), lambda known: known | many)
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""


def test_kill_at_any_step_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """And the next change passes: neither a lock nor half a file is in its way."""
    files = [tmp_path / str(step) / "users" for step in range(20)]
    for file in files:
        users_file.edit(file, added(ADA))

    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, check=True)

    ends = json.loads(done.stdout)
    assert len(ends) > 4
    assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    for file in files[: len(ends)]:
        found = users_file.read(file)
        assert found["ada"] == ADA
        assert len(found) in (1, 20_001)
        users_file.edit(file, added(BOB))
        assert users_file.read(file)["bob"] == BOB
        assert [path.name for path in file.parent.iterdir() if path.name.endswith(".new")] == []


def test_disk_that_is_full_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says that nothing was written."""
    users_file.edit(file, added(ADA))

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private, "replace", full)
    with pytest.raises(UsersFileError, match="cannot be written: No space left on device"):
        users_file.edit(file, added(BOB))

    assert set(users_file.read(file)) == {"ada"}
