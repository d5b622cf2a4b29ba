"""Cookies of people who have logged in by a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.server.accounts.sessions import LIFETIME, LoginSessions, load_key

NOW = 1_800_000_000.0
SESSIONS = LoginSessions(b"k" * 32)
COOKIE = SESSIONS.cookie("ada", "hash of a password", NOW)


def test_cookie_names_its_user_for_half_a_day() -> None:
    assert SESSIONS.name(COOKIE) == "ada"
    assert SESSIONS.token(COOKIE, "hash of a password", NOW + LIFETIME - 1) is not None
    assert SESSIONS.token(COOKIE, "hash of a password", NOW + LIFETIME) is None


def test_new_password_ends_the_session() -> None:
    assert SESSIONS.token(COOKIE, "hash of another", NOW) is None


@pytest.mark.parametrize(
    "cookie",
    ["", ":", "ada", COOKIE[:-1], COOKIE.replace("ada", "eve"), f"{COOKIE}0", "é:1:2:3", "\ud800"],
)
def test_forged_cookie_is_nobodys(cookie: str) -> None:
    assert SESSIONS.name(cookie) is None
    assert SESSIONS.token(cookie, "hash of a password", NOW) is None


def test_cookie_of_another_key_is_nobodys() -> None:
    assert LoginSessions(b"x" * 32).name(COOKIE) is None


def test_processes_with_one_users_file_have_one_key_that_others_cannot_read(tmp_path: Path) -> None:
    first, second = load_key(tmp_path / "users"), load_key(tmp_path / "users")

    assert first == second
    assert first is not None
    assert len(first) == 32
    assert (tmp_path / "users.key").stat().st_mode & 0o777 == 0o600


def test_key_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "users.key").write_bytes(b"short")

    made = load_key(tmp_path / "users")

    assert made is not None
    assert made != b"short"
    assert load_key(tmp_path / "users") == made


def test_without_a_place_for_the_key_sessions_end_with_the_process(tmp_path: Path) -> None:
    assert load_key(tmp_path / "missing" / "users") is None
