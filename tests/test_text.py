"""Text of others is shown so that a terminal only displays it."""

from __future__ import annotations

import json

import pytest

from smtd.text import encodable, shown, shown_lines

HARMFUL = {
    "an escape sequence": ("\x1b[2Jall is well", "\\x1b[2Jall is well"),
    "a title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "a C1 control": ("a\x9bm", "a\\x9bm"),
    "a line break": ("a\nfake: line\r", "a\\nfake: line\\r"),
    "a Unicode line break": ("a\u2028b\u2029\x85", "a\\u2028b\\u2029\\x85"),
    "a tab": ("a\tb", "a\\tb"),
    "NUL and DEL": ("a\0b\x7f", "a\\x00b\\x7f"),
    "a turned direction": ("a\u202egnp.\u2066x\u200f", "a\\u202egnp.\\u2066x\\u200f"),
    "what nobody sees": ("a\u200b\ufeff\U000e0041", "a\\u200b\\ufeff\\U000e0041"),
    "a lone surrogate": ("a\udcff", "a\\udcff"),
}
HARMLESS = ["", "run 7", "C:\\data\\new", "été ☃ 日本 e\u0301 \N{GRINNING FACE}", "שלום", "a\u00a0b"]


@pytest.mark.parametrize("case", HARMFUL)
def test_control_characters_are_escaped(case: str) -> None:
    """The result is one readable line that every file can hold."""
    text, expected = HARMFUL[case]

    assert shown(text) == expected
    assert shown(expected) == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_is_shown_unchanged(text: str) -> None:
    """Letters of all languages, and paths of other systems."""
    assert (shown(text), shown_lines(text), encodable(text)) == (text, text, text)


def test_text_of_smtd_keeps_its_lines() -> None:
    """Its line breaks and tabs, and no other control characters."""
    assert shown_lines("a\n\tb\r\x1b\u2028") == "a\n\tb\\r\\x1b\\u2028"


def test_only_lone_surrogates_are_not_encodable() -> None:
    """JSON can hold everything else unchanged."""
    text = encodable("a\x1b\n\ud800\udcff")

    assert text == "a\x1b\n\\ud800\\udcff"
    assert json.loads(json.dumps(text).encode()) == text
