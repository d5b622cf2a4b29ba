"""Python literals are read and written as data; everything else is refused, and never run."""

from __future__ import annotations

import math
import warnings

import pytest

from smtd.errors import RecordUnusable
from smtd.records.literal import Call, NotLiteral, read, shortened, write
from tests.records.strategies import means_the_same

LITERALS = {
    "1": 1,
    " 1 ": 1,
    "-1": -1,
    "+1": 1,
    "--1": 1,
    "0x10": 16,
    "1_000": 1000,
    "1.5": 1.5,
    "-1e999": -math.inf,
    "1e999-1e999": math.nan,
    "True": True,
    "None": None,
    "'a'": "a",
    '"a" "b"': "ab",
    "b'a'": b"a",
    r"'\x41\u00e9\n'": "Aé\n",
    "'''a\nb'''": "a\nb",
    "[]": [],
    "[1, [2], (3,)]": [1, [2], (3,)],
    "()": (),
    "(1)": 1,
    "{}": {},
    "{1: 'a', (2, 3): None}": {1: "a", (2, 3): None},
    "{1, 2}": {1, 2},
    "{'a': 1, # one\n 'b': 2}": {"a": 1, "b": 2},
}

#: Texts that Python would run, or that are no expression.
REFUSED = [
    *("", "   ", "a", "a.b", "pi", "nan", "...", "1 +", "1; 2", "1 + 1", "1 - 1", "'a' 'b' + 'c'"),
    *("2 ** 10 ** 10", "'a' * 1000000000", "not True", "~1", "-True", "-'a'", "+[]", "1 < 2"),
    *("1 if True else 2", "[*[1]]", "{**{}}", "[][0]", "'a'[0]", "f'{1}'", "lambda: 1", "(x := 1)"),
    *("[x for x in [1]]", "{x: 1 for x in [1]}", "(x for x in [1])", "print()", "open('file')"),
    *("ParameterRange([1])", "__import__('os').system('true')", "().__class__.__mro__[1].__subclasses__()"),
    *("import os", "exec('1')", "await x", "yield", "{[]: 1}", "{{}}", "'unclosed", "007", "a\0b"),
    *("'a\0b'", "\ud800", "0x" + "f" * 10_000 + "g", "9" * 10_000),
]

#: Texts that only a parameter set may hold.
NAMED = {
    "pi": math.pi,
    "true": True,
    "false": False,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "ParameterRange([1, 2])": Call("ParameterRange", ([1, 2],), ()),
    "GammaDist(m=2.0, s=1.0)": Call("GammaDist", (), (("m", 2.0), ("s", 1.0))),
    "{'a': [ref('b.c')]}": {"a": [Call("ref", ("b.c",), ())]},
    "UniformDist(0, max=pi)": Call("UniformDist", (0,), (("max", math.pi),)),
}

#: Texts that not even a parameter set may hold.
REFUSED_WITH_NAMES = [
    *("os", "print", "eval('1')", "GammaDist", "x.GammaDist()", "GammaDist.__init__()", "GammaDist()()"),
    *("GammaDist(**{})", "GammaDist(*[1])", "GammaDist(open('file'))", "ref(ref)", "ref(x for x in [1])"),
    "math.pi",
]


@pytest.mark.parametrize("text", LITERALS)
def test_literal_is_read_as_python_reads_it(text):
    """A literal gives the value that evaluating it would give."""
    assert means_the_same(read(text), LITERALS[text])


@pytest.mark.parametrize("text", REFUSED, ids=shortened)
def test_other_text_is_refused(text):
    """Whatever it would do."""
    with pytest.raises(NotLiteral, match="is not a literal value"):
        read(text)


@pytest.mark.parametrize("text", NAMED)
def test_parameter_set_may_hold_names_and_constructors(text):
    """Names and constructors of a parameter set are read as data where they are allowed."""
    assert means_the_same(read(text, names=True), NAMED[text])


@pytest.mark.parametrize("text", NAMED)
def test_names_and_constructors_are_refused_elsewhere(text):
    """Launch modes and plain dictionaries hold no names."""
    with pytest.raises(NotLiteral):
        read(text)


@pytest.mark.parametrize("text", REFUSED_WITH_NAMES)
def test_other_names_and_calls_are_refused(text):
    """No name leads out of the known ones."""
    with pytest.raises(NotLiteral):
        read(text, names=True)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 150 + "]" * 150 + "]",
        "-" * 100_000 + "1",
        "-" * 2_000 + "1",
        "(" * 100_000,
        "+".join(["1"] * 100_000),
        "1-" * 100_000 + "1",
        "{'a':" * 100_000,
        "'" * 100_001,
        "[1," * 100_000,
        "not " * 100_000 + "1",
        "a" + ".b" * 100_000,
        "a" + "()" * 100_000,
        "lambda: " * 10_000 + "1",
    ],
    ids=lambda text: shortened(text, 12),
)
def test_deep_nesting_is_refused_at_once(text):
    """Text made to exhaust the reader is refused, and nothing breaks."""
    with pytest.raises(NotLiteral):
        read(text)


def test_unknown_escape_is_read_without_a_warning():
    r"""Python itself would warn about a text such as '\d'."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = read(r"{'pattern': '\d+'}")

    assert value == {"pattern": r"\d+"}
    assert said == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-3, "-3"),
        (0.1, "0.1"),
        (math.inf, "1e999"),
        (-math.inf, "-1e999"),
        (math.nan, "(1e999-1e999)"),
        ("it's", '"it\'s"'),
        ('"\n\\', "'\"\\n\\\\'"),
        ("é\ud800", "'é\\ud800'"),
        (b"\xff", "b'\\xff'"),
        ([1, (2,), ()], "[1, (2,), ()]"),
        ({"a": {1: None}}, "{'a': {1: None}}"),
        (Call("GammaDist", (2.0,), (("s", math.nan),)), "GammaDist(2.0, s=(1e999-1e999))"),
        ("see file:///etc/passwd", "'see file:\\x2f//etc/passwd'"),
        ({"file://": ["file://"]}, "{'file:\\x2f/': ['file:\\x2f/']}"),
        (b"file://", "b'file:\\x2f/'"),
    ],
)
def test_value_is_written_so_that_sumatra_reads_it(value, text):
    """Values are written as expressions; no text names a file that Sumatra would open."""
    assert write(value) == text
    assert means_the_same(read(text, names=True), value)


class Text(str):
    """A kind of text; reading it gives plain text."""

    __slots__ = ()


@pytest.mark.parametrize("value", [1j, {1}, Text("a"), [1j], {"a": 1j}, {1j: 1}, range(3), ...], ids=repr)
def test_value_without_a_literal_is_refused(value):
    """A value that no expression gives exactly is not written as another one."""
    with pytest.raises(RecordUnusable, match="has no literal form"):
        write(value)


def test_integer_too_long_to_write_is_refused():
    """Python does not write integers of thousands of digits, and says so in its own way."""
    with pytest.raises(RecordUnusable):
        write(16**5000)


@pytest.mark.parametrize("depth", [10, 50])
def test_nested_value_is_read_back(depth):
    """Ordinary nesting is no problem."""
    text = "[" * depth + "]" * depth

    assert write(read(text)) == text


def test_nesting_too_deep_to_write_is_refused():
    """A value that is nested without end is not followed."""
    value: list[object] = []
    value.append(value)

    with pytest.raises(RecordUnusable):
        write(value)


def test_shortened_text_is_one_line_of_limited_width():
    """Long text is quoted and cut in messages."""
    assert shortened("a\nb") == r"'a\nb'"
    assert shortened("x" * 100, 10) == "'xxxxxxx…'"
