"""Create, store and compare passwords and tokens. No error or repr contains a secret.

A password is stored as its scrypt hash, so that each guess costs 33 ms and 16 MB. A token has 256 random
bits, which cannot be guessed, so SHA-256 is enough for it. `hashed` and `matches` block, and release the
interpreter's lock while they compute.
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

#: Sumatra does not unquote the user name and password in an address: other characters may arrive changed.
_SAFE = re.compile(r"[A-Za-z0-9_-]*\Z")
#: The cost of scrypt (RFC 7914), and the bytes that OpenSSL may use for it.
_N, _R, _P, _MEMORY = 2**14, 8, 1, 64 * 2**20
_SALT, _LENGTH = 16, 32
_PREFIX = f"scrypt${_N}${_R}${_P}$"
_STORED = re.compile(rf"{re.escape(_PREFIX)}([0-9a-f]{{{2 * _SALT}}})\$([0-9a-f]{{{2 * _LENGTH}}})\Z")
#: The hash to check against if there is no such user, so that the check takes as long as for a user.
_DUMMY_HASH = f"{_PREFIX}{'0' * 2 * _SALT}${'0' * 2 * _LENGTH}"
#: Scanners for secrets, and people, recognize a token by this; and no token begins with "-", like an option.
TOKEN_PREFIX = "smtd_"
#: The longest credentials that are read from a header, in characters.
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """The user name that a request gives (None: it has only a token), and the password or token."""

    name: str | None
    secret: str = field(repr=False)


def hashed(password: str) -> str:
    """Return the hash to store for *password*. Blocks. Raises UnicodeEncodeError if it is not Unicode."""
    salt = os.urandom(_SALT)
    return f"{_PREFIX}{salt.hex()}${_scrypt(password, salt).hex()}"


def is_hash(stored: str) -> bool:
    """Say whether *stored* has the form of a result of `hashed`."""
    return _STORED.match(stored) is not None


def matches(password: str, stored: str | None) -> bool:
    """Say whether *stored* is the hash of *password*; False if *stored* is None. Blocks.

    Takes equally long for a correct password, a wrong one and None.
    """
    found = _STORED.match(stored or _DUMMY_HASH)
    if found is None:
        return False
    same = hmac.compare_digest(_scrypt(password, bytes.fromhex(found[1])), bytes.fromhex(found[2]))
    return same and stored is not None


def new_token() -> str:
    """Return a new random token, in characters that every client sends unchanged."""
    return f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"


def token_digest(token: str) -> str:
    """Return the digest to store for *token*."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_safe_in_address(secret: str) -> bool:
    """Say whether Sumatra reads *secret* unchanged from the address of a store."""
    return _SAFE.match(secret) is not None


def claim(header: str | None) -> Claim | None:
    """Return the claim of an Authorization header, Basic (RFC 7617) or Bearer (RFC 6750), or None."""
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


def header(name: str, password: str) -> str:
    """Return the Basic header with which a client claims to be the user *name*."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode('utf-8', 'surrogatepass')).decode()}"


def _text(words: bytes) -> str:
    """Decode the name and password in *words*: from UTF-8, else from Latin-1, which `requests` sends."""
    try:
        return words.decode("utf-8")
    except UnicodeDecodeError:
        return words.decode("latin-1")


def _scrypt(password: str, salt: bytes) -> bytes:
    # The same letter may be typed as one code point or as two.
    text = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=_LENGTH)
