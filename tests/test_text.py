"""Text that somebody else wrote is shown so that it can do nothing but be read."""

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
def test_what_a_terminal_would_obey_is_shown_as_an_escape(case: str) -> None:
    """It is on one line, a person can read what is there, and every file can hold it."""
    text, expected = HARMFUL[case]

    assert shown(text) == expected
    assert shown(expected) == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_shown_as_it_is(text: str) -> None:
    """Letters of all languages, and paths of other systems, stay as they are."""
    assert (shown(text), shown_lines(text), encodable(text)) == (text, text, text)


def test_lines_of_smtd_stay_lines() -> None:
    """What smtd has put together keeps its line breaks and tabs, and nothing else."""
    assert shown_lines("a\n\tb\r\x1b\u2028") == "a\n\tb\\r\\x1b\\u2028"


def test_lone_surrogates_alone_are_not_encodable() -> None:
    """JSON can hold everything else as it is."""
    text = encodable("a\x1b\n\ud800\udcff")

    assert text == "a\x1b\n\\ud800\\udcff"
    assert json.loads(json.dumps(text).encode()) == text
