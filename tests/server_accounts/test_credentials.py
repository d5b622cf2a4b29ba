"""What is stored of passwords and tokens, and what a header says."""

from __future__ import annotations

import base64
import re

import pytest

from smtd.server.accounts import credentials
from smtd.server.accounts.credentials import Claim

#: Of "geheim", as an earlier smtd stored it: it must count for ever.
STORED = (
    "scrypt$16384$8$1$000102030405060708090a0b0c0d0e0f$"
    "428fb0f1f1a3d32de45b17215afed0c01f327ec96d80b1823cafab90ef125738"
)


def basic(words: str | bytes) -> str:
    encoded = words.encode() if isinstance(words, str) else words
    return f"Basic {base64.b64encode(encoded).decode()}"


def test_password_is_known_by_what_is_stored_of_it() -> None:
    """And no other is; the same password is stored differently each time."""
    stored = credentials.hashed("geheim")

    assert credentials.matches("geheim", stored)
    assert not credentials.matches("Geheim", stored)
    assert not credentials.matches("", stored)
    assert "geheim" not in stored
    assert credentials.is_hash(stored)
    assert credentials.hashed("geheim") != stored


def test_password_of_an_earlier_smtd_is_known() -> None:
    """What is stored is of one form for ever, or of a new one beside it."""
    assert credentials.matches("geheim", STORED)


def test_letter_is_the_same_however_it_is_typed() -> None:
    """Some keyboards give é as one character, others as two."""
    assert credentials.matches("e\u0301", credentials.hashed("\u00e9"))


@pytest.mark.parametrize("stored", [None, "", "geheim", "scrypt$2$8$1$00$00", f"{STORED}\n"])
def test_no_password_matches_what_is_no_hash(stored: str | None) -> None:
    """Nor one of another cost, which might be a cheap one."""
    assert not credentials.matches("geheim", stored)
    assert not credentials.matches("", stored)
    assert stored is None or not credentials.is_hash(stored)


def test_token_is_of_safe_characters_and_never_the_same() -> None:
    """Sumatra and every shell take it as it is, also where a word that begins with - is an option."""
    tokens = {credentials.new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(re.fullmatch(r"smtd_[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert all(credentials.is_safe_in_address(token) for token in tokens)


@pytest.mark.parametrize("secret", ["a/b", "a b", "a%b", "a:b", "a@b", "ü", "a.b", "a\n"])
def test_other_characters_are_not_safe_in_an_address(secret: str) -> None:
    """Sumatra would send them as they are quoted."""
    assert not credentials.is_safe_in_address(secret)


@pytest.mark.parametrize(
    ("header", "claim"),
    [
        (basic("ada:geheim"), Claim("ada", "geheim")),
        (basic("ada:a:b"), Claim("ada", "a:b")),
        (basic("ada:"), Claim("ada", "")),
        (basic(":geheim"), Claim("", "geheim")),
        (basic("ada:gehéim"), Claim("ada", "gehéim")),
        (basic("ada:gehéim".encode("latin-1")), Claim("ada", "gehéim")),
        (basic("a\nb\0:\x1b"), Claim("a\nb\0", "\x1b")),
        (basic("ada:geheim").replace("Basic", "bASIC"), Claim("ada", "geheim")),
        ("Bearer smtd_abc", Claim(None, "smtd_abc")),
        ("bearer  smtd_abc ", Claim(None, "smtd_abc")),
    ],
)
def test_header_says_who(header: str, claim: Claim) -> None:
    """In either scheme, and in the encodings that clients use."""
    assert credentials.claim(header) == claim


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer ",
        "Basic ada:geheim",
        "Basic YWRh",
        "Basic YWRhOmdlaGVpbQ",
        "Basic YWRh\nOmdlaGVpbQ==",
        "Basic é",
        "Digest username=ada",
        "Token smtd_abc",
        f"Bearer {'a' * 5000}",
        basic("ada:" + "a" * 5000),
    ],
)
def test_header_of_another_form_says_nothing(header: str | None) -> None:
    """It is no login at all."""
    assert credentials.claim(header) is None


def test_claim_does_not_show_its_secret() -> None:
    """Not in a log, nor in a traceback that shows values."""
    assert "geheim" not in repr(Claim("ada", "geheim"))
    assert "geheim" not in str(Claim(None, "geheim"))
