"""What a word on the command line stands for, with and without a configuration."""

from __future__ import annotations

import dbm.dumb
from pathlib import Path

import msgspec
import pytest

from smtd.cli.stores import Passwords, located
from smtd.config import Config, StoreConfig
from smtd.errors import UsageError
from smtd.stores.access import Access

LAB = {"location": "https://lab.example/records/", "username": "ada"}


def lab(**said: object) -> Config:
    """Return a configuration with further settings of the store "lab"."""
    return Config(stores={"lab": msgspec.convert(LAB | said, StoreConfig)})


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """An existing shelf."""
    with dbm.dumb.open(str(tmp_path / "records"), "c"):
        return tmp_path / "records"


def test_word_is_the_name_or_the_place_of_a_configured_store(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all its settings."""
    monkeypatch.chdir(shelf.parent)
    config = Config(
        stores={"lab": StoreConfig(str(shelf), timezone="Europe/Paris", python="/usr/bin/python3")}
    )

    for word in ("lab", "records"):
        found = located(word, config, None)
        assert (found.path, found.access) == (shelf, Access("Europe/Paris", "/usr/bin/python3"))


def test_timezone_option_applies_to_stores_without_one(shelf: Path) -> None:
    """Also to a path without a configuration. The setting of one store counts more than that for both."""
    config = Config(stores={"lab": StoreConfig(str(shelf), timezone="Europe/Paris")})

    by_path = located(str(shelf), Config(), "Asia/Tokyo")

    assert located("lab", config, "Asia/Tokyo").access.timezone == "Europe/Paris"
    assert (by_path.path, by_path.access.timezone) == (shelf, "Asia/Tokyo")


@pytest.mark.parametrize("zone", ["Europe/Pariss", "", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_unknown_timezone_is_refused(shelf: Path, zone: str) -> None:
    """A misspelt zone must not become this machine's."""
    with pytest.raises(UsageError, match="is not a time zone"):
        located(str(shelf), Config(), zone)


@pytest.mark.parametrize(("kind", "other"), [("password", "token"), ("token", "password")])
def test_command_runs_once_until_what_it_printed_is_rejected(tmp_path: Path, kind: str, other: str) -> None:
    """A daemon needs the same password or token repeatedly; with a token smtd looks for no password."""
    command = ["sh", "-c", f"echo asked >> {tmp_path / 'log'}; wc -l < {tmp_path / 'log'} | tr -d ' '"]
    user = {"username": "ada"} if kind == "password" else {}
    passwords = Passwords()

    def found(words: list[str], name: str = "lab") -> tuple[str, None]:
        said = {"location": LAB["location"], **user, f"{kind}_command": words}
        config = Config(stores={"lab": msgspec.convert(said, StoreConfig)})
        access = located(name, config, None, passwords=passwords).access
        assert access.username == user.get("username")
        return getattr(access, kind), getattr(access, other)

    assert [found(command), found(command)] == [("1", None)] * 2
    passwords.forget()
    assert found(command, "https://lab.example/records") == ("2", None)
    assert found(["echo", "another"]) == ("another", None)


@pytest.mark.parametrize("by", ["token_file", "token_command", "token_env"])
def test_token_is_found_where_the_configuration_says(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the first line; ~/.netrc, which has a password for the host, is not used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine lab.example login ada password geheim\n", "utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "token").write_text("smtd_abc\r\nrest\n", "utf-8")
    monkeypatch.setenv("LAB_TOKEN", "smtd_abc")
    how = {
        "token_file": "~/token",
        "token_command": ["cat", str(tmp_path / "token")],
        "token_env": "LAB_TOKEN",
    }
    lab = {"location": "https://lab.example/records/", by: how[by]}

    access = located("lab", Config(stores={"lab": msgspec.convert(lab, StoreConfig)}), None).access

    assert (access.token, access.username, access.password) == ("smtd_abc", None, None)


@pytest.mark.parametrize(
    "content", ["", "\n", " geheim\n", "geh eim", "geheim\r\r\n", "gehe\0im", "gehéim", "a\tb"]
)
def test_token_that_does_not_fit_a_header_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    """Before it is sent, or splits the header in two."""
    (tmp_path / "token").write_text(content, "utf-8")
    lab = {"location": "https://lab.example/", "token_command": ["cat", str(tmp_path / "token")]}

    with pytest.raises(UsageError, match="the token of store lab is empty, or has characters") as told:
        located("lab", Config(stores={"lab": msgspec.convert(lab, StoreConfig)}), None)

    assert "geh" not in str(told.value)


def test_unusable_token_file_is_an_error(tmp_path: Path) -> None:
    """With what is wrong with it, as a token file."""
    token = tmp_path / "token"
    config = Config(stores={"lab": StoreConfig("https://lab.example/", token_file=str(token))})

    with pytest.raises(
        UsageError, match=r"the token file .*/token of store lab cannot be read: it does not exist"
    ):
        located("lab", config, None)
    token.write_text("\n", "utf-8")
    with pytest.raises(UsageError, match="has no token in its first line"):
        located("lab", config, None)
    token.write_text("geheim\n", "utf-8")
    token.chmod(0o666)
    with pytest.raises(
        UsageError, match="everyone can change the token file of store lab; run chmod 600"
    ) as told:
        located("lab", config, None)
    assert "geheim" not in str(told.value)


def test_unset_token_variable_is_an_error() -> None:
    """The user has to set it."""
    config = Config(stores={"lab": StoreConfig("https://lab.example/", token_env="NO_SUCH_TOKEN")})

    with pytest.raises(UsageError, match="store lab needs the environment variable NO_SUCH_TOKEN; set it"):
        located("lab", config, None)


@pytest.mark.parametrize(
    "address", ["https://ada:s3cr#t@lab.example/", "https://ada:s3cr/t@lab.example/", "http://[s3cr/"]
)
def test_invalid_password_in_an_address_is_not_shown(address: str) -> None:
    """A part of it looks like a port, and must not be reported as a wrong one."""
    with pytest.raises(UsageError, match="is not the address of a Sumatra Server") as caught:
        located(address, Config(), None)

    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("by", ["password_file", "password_command"])
def test_password_file_of_any_editor_is_read_and_utf_16_is_an_error(by: str, tmp_path: Path) -> None:
    """A byte order mark, and line ends as on Windows, do not belong to the password; no error shows it."""
    secret = tmp_path / "secret"
    config = lab(**{by: str(secret) if by == "password_file" else ["cat", str(secret)]})

    secret.write_bytes("\ufeffgeheim ß\r\nrest\r\n".encode())
    assert located("lab", config, None).access.password == "geheim ß"

    secret.write_bytes("geheim\r\n".encode("utf-16"))
    with pytest.raises(UsageError, match="UTF-16") as told:
        located("lab", config, None)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize("content", ["", "\n", "\ufeff\r\n", "\ngeheim\n"])
def test_password_file_with_an_empty_first_line_is_an_error(content: str, tmp_path: Path) -> None:
    """A server that rejects an empty password would not say which of the two is wrong."""
    (tmp_path / "secret").write_text(content, "utf-8")
    with pytest.raises(UsageError, match="/secret of store lab has no password in its first line"):
        located("lab", lab(password_file=str(tmp_path / "secret")), None)


def test_world_writable_password_file_is_refused(tmp_path: Path) -> None:
    """The message names the file and the remedy, and shows no part of the password."""
    secret = tmp_path / "my secret"
    secret.write_text("geheim\n", "utf-8")
    secret.chmod(0o666)
    config = lab(password_file=str(secret))

    with pytest.raises(
        UsageError, match=f"everyone can change the password file of store .*; run chmod 600 '{secret}'"
    ) as told:
        located("lab", config, None)

    assert "geheim" not in str(told.value)
    secret.chmod(0o600)
    assert located("lab", config, None).access.password == "geheim"
