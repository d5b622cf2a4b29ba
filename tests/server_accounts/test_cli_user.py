"""`smtd user`, as a process: who may use the server, without a secret in any output or argument."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import Right, User
from smtd.server.accounts.users import Users
from smtd.server.accounts.users_file import StoredToken
from tests.command import Answer, Smtd, has_terminals
from tests.dialog import Terminal, at_terminal
from tests.integration.test_private_files import WATCHED
from tests.server_accounts.test_authenticator import basic

PASSWORD = "geh:eim/ü"
#: Says so before it waits for the lock on the users file.
SAYING = """
import sys
sys.addaudithook(lambda event, _: event == "fcntl.flock" and print("waits", flush=True))
from smtd.cli.main import main
main()
"""


class Command:
    """`smtd user` with a users file and a configuration directory of its own."""

    def __init__(self, smtd: Smtd) -> None:
        self.smtd = smtd
        self.environment = smtd.variables()
        self.directory = smtd.home / "smtd"
        self.file = self.directory / "users"

    def __call__(self, *words: str | Path, stdin: str | bytes | None = None) -> Answer:
        """Run it and return how it ended; without *stdin*, standard input is empty."""
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        return self.smtd("user", *words, stdin=given)

    def add(self, name: str, *options: str, password: str = PASSWORD) -> Answer:
        return self("add", name, "--password-stdin", *options, stdin=f"{password}\n")

    def who(self, header: str) -> User | None:
        """Return whom the server would take a request with this header for."""

        async def ask() -> User | None:
            users = Users(self.file)
            await users.load()
            return await Authenticator(users).authenticate(header, "192.0.2.1")

        return anyio.run(ask)


@pytest.fixture
def user(smtd: Smtd) -> Command:
    return Command(smtd)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], User("ada")),
        (["--admin"], User("ada", admin=True)),
        (["--read-all"], User("ada", everywhere=Right.READ)),
        (["--write-all"], User("ada", everywhere=Right.WRITE)),
        (["--read-all", "--write-all"], User("ada", everywhere=Right.WRITE)),
    ],
)
def test_user_who_was_added_is_let_in(user: Command, options: list[str], expected: User) -> None:
    """By the password that was given, and with the rights, of which the higher one counts."""
    answer = user.add("ada", *options)

    assert (answer.code, answer.out) == (0, "added user ada\n")
    assert user.who(basic("ada", PASSWORD)) == expected
    assert user.who(basic("ada", "geraten")) is None


def test_token_is_printed_once_and_lets_in(user: Command) -> None:
    """Alone on standard output, for scripts; what to do with it is beside it."""
    user.add("ada")

    answer = user("token", "ada")

    assert re.fullmatch(r"smtd_[A-Za-z0-9_-]{43}\n", answer.out)
    assert "token of ada is not shown again; put it into a file" in answer.err
    token = answer.out.strip()
    assert token not in answer.err
    assert user.who(f"Bearer {token}") == user.who(basic("ada", token)) == User("ada")
    account = json.loads(user.file.read_text("utf-8"))
    assert set(account) == {"name", "password", "tokens"}
    assert [each["sha256"] for each in account["tokens"]] == [credentials.token_digest(token)]
    assert token not in user.file.read_text("utf-8")
    assert token not in user("list").out + user("list", "--json").out


def test_tokens_add_up_until_they_are_revoked(user: Command) -> None:
    """One for each laptop; a lost one takes all others along."""
    user.add("ada")
    first, second = (user("token", "ada").out.strip() for _ in range(2))
    assert user.who(f"Bearer {first}") == user.who(f"Bearer {second}") == User("ada")

    third = user("token", "ada", "--revoke", "--expires", "90d").out.strip()

    assert user.who(f"Bearer {first}") is None
    assert user.who(f"Bearer {second}") is None
    assert user.who(f"Bearer {third}") == User("ada")
    assert user.who(basic("ada", PASSWORD)) == User("ada")


def test_token_that_has_expired_goes_with_the_next(user: Command) -> None:
    """Nobody has to clean up; what is good stays."""
    user.add("ada")
    past, good = StoredToken("0" * 64, 1, 2), StoredToken("1" * 64, 1)
    users_file.edit(user.file, lambda known: {"ada": replace(known["ada"], tokens=(past, good))})

    user("token", "ada")

    first, second = users_file.read(user.file)["ada"].tokens
    assert first == good
    assert second.expires is None


def test_password_is_changed(user: Command) -> None:
    """The old one is good no more; tokens are."""
    user.add("ada", "--admin")
    token = user("token", "ada").out.strip()

    answer = user("password", "ada", "--password-stdin", stdin="neu\n")

    assert (answer.code, answer.out, answer.err) == (0, "changed the password of ada\n", "")
    assert user.who(basic("ada", PASSWORD)) is None
    assert user.who(basic("ada", "neu")) == user.who(f"Bearer {token}") == User("ada", admin=True)


def test_removed_user_is_let_in_no_more(user: Command) -> None:
    """By nothing; others are."""
    user.add("ada")
    user.add("bob")
    token = user("token", "ada").out.strip()

    answer = user("remove", "ada")

    assert (answer.code, answer.out) == (0, "removed user ada\n")
    assert user.who(f"Bearer {token}") is None
    assert user.who(basic("ada", PASSWORD)) is None
    assert user.who(basic("bob", PASSWORD)) == User("bob")


def test_list_shows_users_and_no_hash(user: Command) -> None:
    """For people and for scripts."""
    user.add("ada", "--admin")
    user.add("bob", "--read-all", password="plain")
    user("token", "bob", "--expires", "90d")

    shown, told = user("list"), user("list", "--json")

    assert shown.out.startswith("ada  admin; password\nbob  reads all projects; password, token of 20")
    assert told.json["users"][0] == {
        "name": "ada",
        "admin": True,
        "all_projects": "none",
        "projects": {},
        "password": True,
        "tokens": [],
    }
    assert told.json["users"][1]["all_projects"] == "read"
    (token,) = told.json["users"][1]["tokens"]
    assert token["made"] < token["expires"]
    assert "scrypt" not in shown.out + told.out


def test_list_of_nobody_says_what_to_do(user: Command) -> None:
    """And is an empty list for scripts."""
    assert (user("list").code, user("list").out) == (0, "")
    assert "add one with smtd user add" in user("list").err
    assert user("list", "--json").json == {"users": []}


def test_users_file_is_beside_the_configuration(user: Command, tmp_path: Path) -> None:
    """The one that is named before or after the verb, or the users file itself."""
    other = tmp_path / "other" / "config.toml"
    other.parent.mkdir()
    other.touch(0o600)

    assert user.add("ada").code == user.add("bob", "-c", str(other)).code == 0
    assert user.add("eve", "--users", str(tmp_path / "here")).code == 0

    assert set(users_file.read(user.file)) == {"ada"}
    assert set(users_file.read(other.with_name("users"))) == {"bob"}
    assert set(users_file.read(tmp_path / "here")) == {"eve"}
    assert user("-c", other, "list", "--json").json["users"][0]["name"] == "bob"


def test_users_file_is_the_one_of_the_configuration(user: Command, tmp_path: Path) -> None:
    """A configuration with mistakes is reported; --users needs none."""
    config = tmp_path / "config.toml"
    config.write_text(f'[server]\nusers_file = "{tmp_path / "people"}"\n', "utf-8")

    assert user.add("ada", "-c", str(config)).code == 0
    assert set(users_file.read(tmp_path / "people")) == {"ada"}
    config.write_text("[server]\nuser_file = 'x'\n", "utf-8")
    assert user.add("bob", "-c", str(config)).code == 2
    assert user.add("bob", "-c", str(config), "--users", str(tmp_path / "people")).code == 0


def test_name_of_another_user_is_refused(user: Command) -> None:
    """Also if it differs in case only, and before anybody types a password."""
    user.add("ada")

    for name in ("ada", "ADA"):
        answer = user("add", name)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("smtd: there is a user ada already")
    assert user.who(basic("ada", PASSWORD)) == User("ada")


@pytest.mark.parametrize("words", [["password"], ["token"], ["remove"]])
def test_unknown_user_is_reported_with_the_likely_one(user: Command, words: list[str]) -> None:
    """And nothing is written."""
    user.add("ada")
    before = user.file.read_bytes()

    answer = user(*words, "adda")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "smtd: there is no user 'adda'; did you mean 'ada'?\n"
    assert user.file.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "\x1b[2J", "\u202e", "a" * 10_000])
def test_hostile_name_is_refused_in_one_line(user: Command, name: str) -> None:
    """That a terminal can show."""
    answer = user.add(name)

    assert (answer.code, answer.out) == (2, "")
    assert "cannot be the name of a user" in answer.err
    assert answer.err.count("\n") == 1
    assert len(answer.err) < 500
    assert answer.err.rstrip("\n").isprintable()
    assert not user.file.exists()


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe\n", "UTF-16"),
        (b"gehe\xffim\n", "line 1 is not UTF-8"),
        (b"gehe\0im\n", "characters that cannot be typed"),
        (b"gehe\x1bim\n", "characters that cannot be typed"),
        (b"geheim" * 200 + b"\n", "longer than 1000"),
        (b"geheim" * 100_000, "longer than 1000"),
    ],
)
def test_password_that_is_none_is_refused_and_not_shown(user: Command, stdin: bytes, why: str) -> None:
    """One sentence says why."""
    answer = user("add", "ada", "--password-stdin", stdin=stdin)

    assert (answer.code, answer.out) == (2, "")
    assert why in answer.err
    assert answer.err.count("\n") == 1
    assert "gehe" not in answer.err
    assert not user.file.exists()


@pytest.mark.parametrize(("password", "warns"), [("a/b", True), ("ü", True), ("a b", True), ("aZ0_-", False)])
def test_password_that_sumatra_does_not_understand_is_warned_of(
    user: Command, password: str, warns: bool
) -> None:
    """It is added all the same: browsers and smtd take it."""
    answer = user.add("ada", password=password)

    assert (answer.code, answer.out) == (0, "added user ada\n")
    assert ("use a token: smtd user token ada" in answer.err) is warns
    assert password not in answer.err
    assert user.who(basic("ada", password)) == User("ada")


@pytest.mark.parametrize(
    "words",
    [
        ["add", "ada", "geheim"],
        ["add", "ada", "-pgeheim"],
        ["add", "ada", "--password", "geheim"],
        ["add", "ada", "--password=geheim"],
        ["add", "ada", "--password-stdin=geheim"],
        ["password", "ada", "geheim"],
        ["token", "ada", "geheim"],
        ["remove", "ada", "geheim"],
    ],
)
def test_password_on_the_command_line_is_refused_and_not_repeated(user: Command, words: list[str]) -> None:
    """Others see the command line; a log of its errors need not have it, too."""
    answer = user(*words)

    assert (answer.code, answer.out) == (2, "")
    assert "geheim" not in answer.err
    assert "too many arguments; give no password here" in answer.err or "ption '" in answer.err


def test_without_a_terminal_the_password_is_not_asked_for(user: Command) -> None:
    """A script gets the name of the option."""
    answer = user("add", "ada", stdin=f"{PASSWORD}\n")

    assert (answer.code, answer.err) == (
        2,
        "smtd: there is no terminal to ask for the password; use --password-stdin\n",
    )


def test_secret_is_in_no_output_and_no_file(user: Command, smtd: Smtd) -> None:
    """Whatever is done with it; nor is its hash in an output, even if the users file is spoilt."""
    answers = [
        user.add("ada"),
        user.add("ada"),
        user("password", "ada", "--password-stdin", stdin=PASSWORD),
        user("list"),
        user("list", "--json"),
    ]
    stored = users_file.read(user.file)["ada"].password or ""
    user.file.write_text(user.file.read_text("utf-8").replace('"name"', f'"{PASSWORD}"'), "utf-8")
    answers += [user("list"), user.add("bob"), user("token", "ada"), user("remove", "ada")]
    user.file.chmod(0o644)
    answers += [user("list")]

    assert [answer.code for answer in answers] == [0, 2, 0, 0, 0, 2, 2, 2, 2, 2]
    for answer in answers:
        assert PASSWORD not in answer.out + answer.err
        assert stored not in answer.out + answer.err
        assert "Traceback" not in answer.err
    assert "line 1 of the users file" in answers[5].err
    assert "run chmod 600" in answers[-1].err
    kept = [file for file in smtd.home.rglob("*") if file.is_file() and file != user.file]
    assert [file.name for file in kept if PASSWORD.encode() in file.read_bytes()] == []


def test_file_is_private_at_every_step_without_a_umask(user: Command, smtd: Smtd, tmp_path: Path) -> None:
    """From its first byte, and so is its directory."""
    report = tmp_path / "report"
    smtd.program = ["-c", WATCHED, str(report), str(smtd.home)]
    for words in (["add", "ada", "--password-stdin"], ["add", "bob", "--password-stdin"], ["token", "ada"]):
        done = smtd("user", *words, stdin=PASSWORD.encode())
        assert done.code == 0, done.err

    assert report.read_text("utf-8") == ""
    assert {path.name for path in user.directory.iterdir()} == {"users", ".users.lock"}


@pytest.mark.slow
def test_two_who_are_added_at_once_are_both_there(user: Command) -> None:
    """Each waits until it is alone, and only then reads what is there: two of one name are not both added."""
    user.add("eve")
    processes = []
    with (user.directory / ".users.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("ada", "bob", "ada"):
            process = subprocess.Popen(
                [sys.executable, "-c", SAYING, "user", "add", name, "--password-stdin"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=user.environment,
            )
            processes.append(process)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"geheim\n")
            process.stdin.close()
            assert process.stdout.readline() == b"waits\n"
        assert set(users_file.read(user.file)) == {"eve"}
    codes = []
    for process in processes:
        with process:
            codes.append(process.wait(60))

    assert sorted(codes) == [0, 0, 2]
    assert codes[1] == 0
    assert set(users_file.read(user.file)) == {"ada", "bob", "eve"}


@pytest.fixture
def on_terminal(user: Command) -> Iterator[Callable[..., Terminal]]:
    """Start `smtd user` with words on a terminal, which is not this one's."""
    if not has_terminals():
        pytest.skip("a pseudo-terminal (/dev/pts) is not here")
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(at_terminal(["user", *words], user.environment))


def test_password_is_asked_for_twice_on_a_terminal(
    user: Command, on_terminal: Callable[..., Terminal]
) -> None:
    """And what is typed is not shown."""
    terminal = on_terminal("add", "ada")
    terminal.answers(b"Password for ada: ", b"geheim\n")
    terminal.answers(b"Repeat the password: ", b"geheim\n")

    assert terminal.end() == 0
    assert b"added user ada" in terminal.shown
    assert b"geheim" not in terminal.shown
    assert user.who(basic("ada", "geheim")) == User("ada")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (b"geheim\n", b"gehiem\n", b"the two passwords differ; nothing was changed"),
        (b"\n", b"\n", b"the password is empty; nothing was changed"),
        (b"\x04", None, b"no password was given; nothing was changed"),
    ],
)
def test_password_that_is_typed_wrongly_changes_nothing(
    user: Command, on_terminal: Callable[..., Terminal], first: bytes, second: bytes | None, why: bytes
) -> None:
    """One sentence says so."""
    user.add("ada")
    terminal = on_terminal("password", "ada")
    terminal.answers(b"Password for ada: ", first)
    if second is not None:
        terminal.answers(b"Repeat the password: ", second)

    assert terminal.end() == 2
    assert why in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert user.who(basic("ada", PASSWORD)) == User("ada")


def test_interrupt_at_the_question_changes_nothing(
    user: Command, on_terminal: Callable[..., Terminal]
) -> None:
    """And the terminal shows again what is typed."""
    terminal = on_terminal("add", "ada")
    terminal.answers(b"Password for ada: ", b"gehe")
    terminal.interrupt()

    assert terminal.end() == 130
    assert b"Traceback" not in terminal.shown
    assert not user.file.exists()


def test_help_without_a_verb_is_in_lines(user: Command) -> None:
    """Words of the user are shown as one line; this is smtd's own text."""
    answer = user()

    shown = answer.out + answer.err
    assert answer.code in (0, 2)
    assert "\n  add " in shown
    assert r"\n" not in shown
