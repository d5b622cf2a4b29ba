"""Passwords and tokens: how they are made, stored and compared. No secret is part of any error or repr.

A password is stored as scrypt makes it: 33 ms and 16 MB for each guess. A token has 256 random bits, which
nobody guesses, so SHA-256 is enough for it. Both of `hashed` and `matches` block, and release the
interpreter's lock meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from dataclasses import dataclass, field

#: Sumatra does not unquote a user or password in an address: other characters do not arrive as they are.
_SAFE = re.compile(r"[A-Za-z0-9_-]*\Z")
#: The cost of scrypt (RFC 7914), and the bytes that OpenSSL may use for it.
_N, _R, _P, _MEMORY = 2**14, 8, 1, 64 * 2**20
_SALT, _LENGTH = 16, 32
_PREFIX = f"scrypt${_N}${_R}${_P}$"
_STORED = re.compile(rf"{re.escape(_PREFIX)}([0-9a-f]{{{2 * _SALT}}})\$([0-9a-f]{{{2 * _LENGTH}}})\Z")
#: What the password of nobody is compared with, so that it takes as long as that of a user.
_NOBODY = f"{_PREFIX}{'0' * 2 * _SALT}${'0' * 2 * _LENGTH}"
#: By this a scanner for secrets, and a person, knows a token; and none begins like an option.
TOKEN_PREFIX = "smtd_"
#: Characters of a header that may be one of ours.
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom a request says it is from (None: by a token alone), and what proves that."""

    name: str | None
    secret: str = field(repr=False)


def hashed(password: str) -> str:
    """Return what is stored of a *password*. Blocks. Raises UnicodeEncodeError if it is not Unicode."""
    salt = os.urandom(_SALT)
    return f"{_PREFIX}{salt.hex()}${_scrypt(password, salt).hex()}"


def is_hash(stored: str) -> bool:
    """Say whether *stored* may be the result of `hashed`."""
    return _STORED.match(stored) is not None


def matches(password: str, stored: str | None) -> bool:
    """Say whether *password* is the one of which *stored* is kept; never, if that is None. Blocks.

    It takes as long in each case.
    """
    found = _STORED.match(stored or _NOBODY)
    if found is None:
        return False
    same = hmac.compare_digest(_scrypt(password, bytes.fromhex(found[1])), bytes.fromhex(found[2]))
    return same and stored is not None


def new_token() -> str:
    """Return a new random token, of the characters that every client leaves as they are."""
    return f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"


def token_digest(token: str) -> str:
    """Return what is stored of a *token*."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_safe_in_address(secret: str) -> bool:
    """Say whether Sumatra takes *secret* from the address of a store as it is."""
    return _SAFE.match(secret) is not None


def claim(header: str | None) -> Claim | None:
    """Return what the header Authorization says, by Basic (RFC 7617) or Bearer (RFC 6750); else None."""
    scheme, _, words = (header or "").partition(" ")
    words = words.strip(" ")
    if not words or len(words) > _LONGEST_HEADER:
        return None
    if scheme.lower() == "bearer":
        return Claim(None, words)
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = _text(base64.b64decode(words, validate=True)).partition(":")
    except (binascii.Error, ValueError):
        return None
    return Claim(name, password) if colon else None


def _text(words: bytes) -> str:
    """Return a name and a password as clients send them: in UTF-8, or in Latin-1, as `requests` does."""
    try:
        return words.decode("utf-8")
    except UnicodeDecodeError:
        return words.decode("latin-1")


def _scrypt(password: str, salt: bytes) -> bytes:
    # The same letters may be typed as one character or as two.
    text = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=_LENGTH)
