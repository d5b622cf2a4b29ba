"""smtd reads what Python 2 wrote as Python 2 would."""

from __future__ import annotations

import time

import pytest

from smtd.records import literal, python2

READ = {
    "{u'root': u'/data'}": {"root": "/data"},
    "{'size': 45L, 'n': [1L, -2L, 0L]}": {"size": 45, "n": [1, -2, 0]},
    "{'size': '45L', \"it's 45L\": 1L}": {"size": "45L", "it's 45L": 1},
    "{u'name': u'Andr\\xe9'}": {"name": "André"},
    "{'name': 'Andr\\xc3\\xa9', 'raw': '\\xff'}": {"name": "André", "raw": "\xff"},
    "{'name': u'Andr\\xc3\\xa9'}": {"name": "AndrÃ©"},
    "{'path': 'C:\\\\xampp', 'quote': '\\'1L'}": {"path": "C:\\xampp", "quote": "'1L"},
}


@pytest.mark.parametrize("text", READ)
def test_text_of_python_2_is_read(text: str) -> None:
    """Long integers are integers, and strings of bytes are the text that they hold."""
    assert literal.read(python2.text(text)) == READ[text]


@pytest.mark.parametrize(
    "value", ["é", "Ã©", "\xa0", "\x80", "\xad", "日本", "a\\xc3\\xa9b", "1L", {"é": "\x9f"}]
)
def test_text_of_python_3_is_not_changed(value: object) -> None:
    """No text that Python 3 writes means anything else here."""
    assert python2.text(repr({"a": value})) == repr({"a": value})


@pytest.mark.parametrize("text", ["'\\" * 200_000, "a" * 400_000, "'" * 400_001, "1" * 400_000])
def test_unterminated_text_is_read_quickly(text: str) -> None:
    """Whatever it contains."""
    began = time.monotonic()

    python2.text(text)

    assert time.monotonic() - began < 5
